"""Images and labels as other programs store them."""

import io

import numpy as np
import pytest
from PIL import Image

from metaaux.data import sources
from metaaux.errors import UserError

SIDE = 6


def ramp(low, high, dtype, seed=0):
  """Two grey images that go from the one number to the other."""
  rng = np.random.default_rng(seed)
  values = rng.uniform(low, high, (SIDE, SIDE))
  values.flat[0], values.flat[-1] = low, high
  return (np.rint(values) if np.dtype(dtype).kind in "bui" else values).astype(
    dtype
  )


def folder(tmp_path, make, suffix="png", per_class=2):
  """Two classes of images that `make` returns, as arrays or of Pillow."""
  for c in "ab":
    for i in range(per_class):
      image = make(10 * "ab".index(c) + i)
      if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
      path = tmp_path / c / f"{i}.{suffix}"
      path.parent.mkdir(parents=True, exist_ok=True)
      image.save(path)
  return f"folder:{tmp_path}"


def archive(tmp_path, **changes):
  rng = np.random.default_rng(0)
  made = {
    "x_train": rng.integers(0, 256, (12, 5, 7, 3), dtype=np.uint8),
    "y_train": np.arange(12) % 3,
    "x_test": rng.integers(0, 256, (6, 5, 7, 3), dtype=np.uint8),
    "y_test": np.arange(6) % 3,
    **changes,
  }
  np.savez(tmp_path / "data.npz", **made)
  return f"npz:{tmp_path / 'data.npz'}"


@pytest.mark.parametrize(
  ("low", "high", "dtype", "suffix"),
  [
    (0, 1, np.float32, "tif"),
    (-1, 1, np.float32, "tif"),
    (0, 255, np.float32, "tiff"),
    (0, 1023, np.uint16, "png"),
    (0, 4095, np.uint16, "png"),
    (0, 4095, np.uint16, "tif"),
    (0, 16383, np.uint16, "png"),
    (0, 65535, np.uint16, "png"),
    (0, 255, np.uint16, "png"),
    (0, 1, np.uint8, "png"),
    (0, 255, np.uint8, "png"),
  ],
)
def test_black_and_white_of_files(tmp_path, low, high, dtype, suffix):
  where = folder(tmp_path, lambda seed: ramp(low, high, dtype, seed), suffix)
  found = sources.load(where, "train")
  assert found.images.dtype == np.uint8 and found.images.shape[-1] == 1
  assert (found.images.min(), found.images.max()) == (0, 255)
  stored = [ramp(low, high, dtype, seed) for seed in (0, 1, 10, 11)]
  scaled = [(each - float(low)) / (high - low) * 255 for each in stored]
  for image in found.images[..., 0]:
    assert min(np.abs(image - each).max() for each in scaled) <= 1
  # What is not bytes of 0..255 is told.
  assert bool(found.notes) == (dtype != np.uint8 or high == 1)


@pytest.mark.parametrize(
  ("low", "high", "dtype", "hint"),
  [
    (0, 100, np.float32, "0,100"),
    (-2, 3, np.float32, "-2,3"),
    (0, 9000, np.float32, "0,9000"),
    (0, 20, np.uint16, "0,20"),
    (0, 70000, np.int32, "0,70000"),
    (-9, 300, np.int32, "-9,300"),
  ],
)
def test_several_readings(tmp_path, low, high, dtype, hint):
  where = folder(tmp_path, lambda seed: ramp(low, high, dtype, seed), "tif")
  with pytest.raises(UserError, match=rf"pixel_range={hint}$") as caught:
    sources.load(where, "train")
  assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
  given = tuple(map(float, hint.split(",")))
  found = sources.load(where, "train", pixel_range=given).images
  assert (found.min(), found.max()) == (0, 255)


def test_splits_of_a_folder_have_one_range(tmp_path):
  """The darker split is not stretched."""
  folder(tmp_path / "train", lambda seed: ramp(0, 4000, np.uint16, seed))
  folder(tmp_path / "test", lambda seed: ramp(0, 900, np.uint16, seed))
  where = f"folder:{tmp_path}"
  assert sources.load(where, "train").images.max() == 4000 >> 4
  assert sources.load(where, "test").images.max() == 900 >> 4


def test_12_bits_a_colour(tmp_path):
  """Pillow reads upper bytes alone; what reaches few of them is refused."""
  content = {}
  for high in (4095, 65535):
    pixels = np.full((SIDE, SIDE, 3), high, ">u2")
    content[high] = colour_png(pixels)
    for c in "ab":
      for i in range(2):
        path = tmp_path / str(high) / c / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[high])
  found = sources.load(f"folder:{tmp_path / '65535'}", "train")
  assert found.images.shape[-1] == 3 and found.images.min() == 255
  with pytest.raises(UserError, match="upper bytes reach 15 of 255"):
    sources.load(f"folder:{tmp_path / '4095'}", "train")


def colour_png(pixels):
  """A PNG of 16 bits a colour, which Pillow does not write."""
  import struct
  import zlib

  def chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return (
      struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    )

  height, width, _ = pixels.shape
  rows = b"".join(b"\0" + row.tobytes() for row in pixels)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows))
    + chunk(b"IEND", b"")
  )


def cut_out(mode, colour):
  """A disc of one colour on nothing."""
  alpha = np.zeros((SIDE, SIDE), np.uint8)
  alpha[2:4, 2:4] = 255
  channels = [np.full_like(alpha, colour)] * (len(mode) - 1)
  return Image.fromarray(np.stack([*channels, alpha], -1), mode)


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("background", [0, 128])
def test_what_is_transparent_shows_the_background(
  tmp_path, mode, colour, background
):
  where = folder(tmp_path, lambda _: cut_out(mode, colour))
  found = sources.load(where, "train", background=background)
  assert found.images.shape[-1] == len(mode) - 1
  assert (found.images[:, 0, 0] == background).all()
  assert (found.images[:, 2, 2] == colour).all()
  assert f"lie on grey {background} of 255" in found.notes[0]


def test_a_palette_with_a_transparent_entry(tmp_path):
  def make(_):
    image = Image.fromarray(np.eye(SIDE, dtype=np.uint8)).convert("P")
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.info["transparency"] = 0
    return image

  found = sources.load(folder(tmp_path, make), "train").images
  np.testing.assert_array_equal(found[0, 0, :2], [[200, 0, 0], [128] * 3])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, suffix, orientation):
  upright = Image.new("RGB", (16, 8))
  upright.paste((255, 255, 255), (0, 0, 8, 4))
  turn = Image.Transpose
  undone = {
    2: turn.FLIP_LEFT_RIGHT,
    3: turn.ROTATE_180,
    4: turn.FLIP_TOP_BOTTOM,
    5: turn.TRANSPOSE,
    6: turn.ROTATE_90,
    7: turn.TRANSVERSE,
    8: turn.ROTATE_270,
  }
  stored = upright
  if orientation in undone:
    stored = upright.transpose(undone[orientation])
  exif = Image.Exif()
  exif[0x0112] = orientation
  for c in "ab":
    for i in range(2):
      path = tmp_path / c / f"{i}.{suffix}"
      path.parent.mkdir(exist_ok=True)
      options = {} if suffix == "tif" else {"quality": 95}
      stored.save(path, exif=exif, **options)
  found = sources.load(f"folder:{tmp_path}", "train")
  assert found.images.shape[1:3] == (8, 16)
  assert (found.images[:, 1, 2] > 200).all() and (found.images[:, 6] < 60).all()
  assert (found.images[:, :, 12] < 60).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "RGBA", "LA"])
def test_ordinary_images_are_as_pillow_has_them(tmp_path, mode):
  rng = np.random.default_rng(3)
  pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
  image = Image.fromarray(pixels).convert(mode)
  suffix = "tif" if mode == "CMYK" else "png"
  found = sources.load(folder(tmp_path, lambda _: image, suffix), "train")
  wanted = "L" if mode in ("1", "L", "LA") else "RGB"
  known = np.asarray(image.convert(wanted)).reshape(SIDE, SIDE, -1)
  np.testing.assert_array_equal(found.images[0], known)


@pytest.mark.parametrize(
  ("name", "kind"),
  [
    ("x.jfif", "JPEG"),
    ("x.JPG", "JPEG"),
    ("x.webp", "WEBP"),
    ("x.tif", "TIFF"),
    ("x", "PNG"),
    ("x.dat", "JPEG"),
  ],
)
def test_what_is_an_image_is_found(tmp_path, name, kind):
  where = folder(tmp_path, lambda seed: ramp(0, 255, np.uint8, seed))
  before = len(sources.load(where, "train").images)
  for c in "ab":
    for i in range(5):
      path = tmp_path / c / f"{i}{name}"
      stream = io.BytesIO()
      Image.fromarray(ramp(0, 255, np.uint8, i)).save(stream, kind)
      path.write_bytes(stream.getvalue())
  assert len(sources.load(where, "train").images) == before + 10
  (tmp_path / "a" / "notes.csv").write_text("1,2")
  found = sources.load(where, "train")
  assert found.notes == ("passed over, as no images: 1 .csv",)


FLOAT = np.random.default_rng(1).random((12, 5, 7, 3))
TESTS = np.random.default_rng(2).random((6, 5, 7, 3))


@pytest.mark.parametrize(
  ("scale", "shift", "dtype"),
  [
    (1, 0, np.float64),
    (1, 0, np.float16),
    (2, -1, np.float32),
    (255, 0, np.float32),
    (255, 0, np.int64),
    (4095, 0, np.uint16),
    (65535, 0, ">u2"),
  ],
)
def test_black_and_white_of_arrays(tmp_path, scale, shift, dtype):
  both = [each.copy() for each in (FLOAT, TESTS)]
  both[0].flat[:2] = 0, 1
  x_train, x_test = (
    (
      np.rint(scale * x + shift)
      if np.dtype(dtype).kind in "ui"
      else scale * x + shift
    ).astype(dtype)
    for x in both
  )
  where = archive(tmp_path, x_train=x_train, x_test=x_test)
  for split, known in (("train", both[0]), ("test", both[1])):
    found = sources.load(where, split).images
    assert found.dtype in (np.uint8, np.float32)
    seen = found / (255 if found.dtype == np.uint8 else 1)
    np.testing.assert_allclose(seen, known, atol=1 / 200)


def test_whole_floats_up_to_255_are_bytes(tmp_path):
  pixels = np.rint(255 * FLOAT)
  tests = np.rint(255 * TESTS)
  where = archive(tmp_path, x_train=pixels, x_test=tests)
  found = sources.load(where, "train").images
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, pixels)


def test_masks_of_0_and_1(tmp_path):
  mask = np.arange(12 * 35).reshape(12, 5, 7) % 2
  for dtype in (np.uint8, bool):
    where = archive(
      tmp_path, x_train=mask.astype(dtype), x_test=mask[:6].astype(dtype)
    )
    found = sources.load(where, "train")
    np.testing.assert_array_equal(found.images[..., 0], 255 * mask)
    assert "taken for 0..1" in found.notes[0]
  # One dark image among others is no mask.
  where = archive(tmp_path, x_train=mask.astype(np.uint8)[..., None])
  assert sources.load(where, "train").images.max() == 1


def test_channels_first(tmp_path):
  x_train, x_test = (
    np.random.default_rng(0).integers(0, 256, (n, 3, 8, 9), dtype=np.uint8)
    for n in (12, 6)
  )
  found = sources.load(
    archive(tmp_path, x_train=x_train, x_test=x_test), "train[2:]"
  )
  np.testing.assert_array_equal(found.images, x_train[2:].transpose(0, 2, 3, 1))
  assert "[n, 3, 8, 9], taken for channels first" in found.notes[0]
  last = np.moveaxis(x_train, 0, -1)
  with pytest.raises(UserError, match="axis 3 of the images has 12, move it"):
    sources.load(archive(tmp_path, x_train=last), "train")


@pytest.mark.parametrize(
  "change",
  [
    lambda y: y.astype(np.float32),
    lambda y: y[:, None].astype(np.uint64),
    lambda y: np.eye(3)[y],
    lambda y: np.eye(3, dtype=bool)[y],
    lambda y: y.astype(">i2"),
  ],
)
def test_labels_of_other_types(tmp_path, change):
  y = np.arange(12) % 3
  where = archive(tmp_path, y_train=change(y), y_test=change(y[:6]))
  found = sources.load(where, "train")
  np.testing.assert_array_equal(found.labels["3"], y)
  assert found.labels["3"].dtype == np.int32


@pytest.mark.parametrize(
  ("labels", "message"),
  [
    (np.arange(12) % 3 + 2**32, "holds 4294967296, which does not fit into 32"),
    (np.arange(12, dtype=np.uint64) % 3 + 2**63, "does not fit into 32 bits"),
    (np.arange(12) % 3 + 0.5, "is float64 and holds 0.5; store one integer"),
    (np.full(12, np.nan), "holds nan"),
    (np.arange(12) % 3 - 2, r"label -2 is outside 0\.\.2"),
    (np.full((12, 3), 1 / 3), r"is float64 of shape \(12, 3\)"),
  ],
)
def test_labels_without_a_reading(tmp_path, labels, message):
  with pytest.raises(UserError, match=message):
    sources.load(archive(tmp_path, y_train=labels), "train")
