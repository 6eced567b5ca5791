"""Images that are decoded only when somebody looks at them.

Of several hosts each decodes the part that its devices keep, and no other.
Indexing returns images that are still not decoded, except by a single number;
`np.asarray` decodes them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from metaaux.data import fingerprint


class Images:
  """Looks like a uint8 array [n, H, W, C], and decodes what is looked at.

  Attributes:
    shape: [n, H, W, C].
    dtype: uint8.
    ndim: 4.
  """

  dtype = np.dtype(np.uint8)
  ndim = 4

  def __init__(
    self,
    read: Callable[[np.ndarray], np.ndarray],
    positions: np.ndarray,
    image_shape: tuple[int, int, int],
    origin: str,
  ) -> None:
    """Images that equal all others of the same `origin` and `positions`.

    Args:
      read: positions [m] -> uint8 [m, H, W, C].
      positions: int [n], arguments for `read`.
      image_shape: [H, W, C].
      origin: identifies what `read` reads, on every machine.
    """
    self._read, self._positions, self._origin = read, positions, origin
    self._pixels: np.ndarray | None = None
    self.shape = (len(positions), *image_shape)

  def __len__(self) -> int:
    return len(self._positions)

  def __getitem__(self, index: Any) -> Any:
    if self._pixels is not None:
      return self._pixels[index]
    chosen = self._positions[index]
    if chosen.ndim == 0:
      return self._read(chosen[None])[0]
    return Images(self._read, chosen, self.shape[1:], self._origin)

  def __array__(
    self, dtype: Any = None, copy: bool | None = None
  ) -> np.ndarray:
    if copy is False:
      raise ValueError("images that are not decoded yet have no array to share")
    found = self._pixels
    if found is None:
      found = self._read(self._positions)
    return found if dtype is None else found.astype(dtype, copy=False)

  def keep(self) -> np.ndarray:
    """Decodes all pixels once; from then on they stay in memory."""
    self._pixels = np.asarray(self)
    return self._pixels

  def digest(self) -> str:
    """A short text, the same for the same images, made without decoding."""
    return f"{self._origin}, {fingerprint.of(self._positions)}"


def whole(images: np.ndarray | Images) -> np.ndarray:
  """All pixels, for code that looks at them perhaps many times."""
  return images.keep() if isinstance(images, Images) else images


def digest(images: np.ndarray | Images) -> str:
  """`Images.digest`, or the fingerprint of an array."""
  if isinstance(images, Images):
    return images.digest()
  return fingerprint.of(np.asarray(images))
