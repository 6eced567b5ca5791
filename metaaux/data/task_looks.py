"""Looks of a task's images, where domains shift between tasks."""

import numpy as np

from metaaux.errors import UserError

# Of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_BRIGHTNESS = (0.299, 0.587, 0.114)


def seen_as(images: np.ndarray, look: str) -> np.ndarray:
  """Images in another domain, of the same shape and dtype.

  Args:
    images: uint8 or float32 [n, H, W, C].
    look: "plain": as they are; "gray": the brightness in all three channels;
      "half": reduced to half the side, by means of 2x2 pixels, and enlarged.

  Raises:
    UserError: the images have no colours, or an odd side.
  """
  if look == "plain":
    return images
  count, height, width, channels = images.shape
  if look == "gray":
    if channels != 3:
      raise UserError(
        f"task_looks has 'gray', but the images have {channels} channels; use "
        "it with colour images"
      )
    changed = (images @ np.float32(_BRIGHTNESS))[..., None]
    changed = np.broadcast_to(changed, images.shape)
  else:
    if height % 2 or width % 2:
      raise UserError(
        f"task_looks has 'half', but the images are {height}x{width}; use it "
        "with images of even sides"
      )
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    small = blocks.mean((2, 4), dtype=np.float32)
    changed = small.repeat(2, axis=1).repeat(2, axis=2)
  if images.dtype == np.uint8:
    changed = np.rint(changed)
  return changed.astype(images.dtype)
