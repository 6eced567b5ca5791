"""Input that would take all memory, wait for ever, or end in a traceback."""

import io
import json
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from metaaux import files
from metaaux.config import user_code
from metaaux.data import sources
from metaaux.data.sources import source as source_lib
from metaaux.errors import UserError
from metaaux.methods.embeddings import file as embedding_file
from metaaux.parallel import memory


def one_line(call):
  """The message of the UserError that a call ends in."""
  with pytest.raises(UserError) as caught:
    call()
  text = str(caught.value)
  assert "\n" not in text and len(text) < 1000
  return text


def header(shape, dtype="|u1"):
  """An .npy file that promises an array and holds eight bytes of it."""
  stream = io.BytesIO()
  described = {"descr": dtype, "fortran_order": False, "shape": shape}
  np.lib.format.write_array_header_1_0(stream, described)
  return stream.getvalue() + bytes(8)


def zipped(path, **members):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in members.items():
      archive.writestr(f"{name}.npy", content)
  return f"npz:{path}"


@pytest.mark.parametrize(
  "shape", [(10**15, 8, 8), (2**62, 2**62, 4), (10**15,), (-1, 4, 4)]
)
def test_headers_that_promise_more_than_there_is(tmp_path, shape):
  names = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"))
  where = zipped(tmp_path / "a.npz", **{n: header(shape) for n in names})
  assert "cannot be read" in one_line(lambda: sources.load(where, "train"))
  path = tmp_path / "vectors.npy"
  path.write_bytes(header(shape, "<f4"))
  assert "cannot be read" in one_line(lambda: embedding_file.read(str(path), 3))


def test_an_archive_that_expands_beyond_memory(tmp_path, monkeypatch):
  x = np.zeros((1000, 64, 64), np.uint8)
  made = {"x_train": x, "x_test": x[:10], "y_test": np.arange(10) % 2}
  np.savez_compressed(tmp_path / "a.npz", y_train=np.arange(1000) % 2, **made)
  monkeypatch.setattr(memory, "available", lambda: 3_000_000)
  text = one_line(lambda: sources.load(f"npz:{tmp_path / 'a.npz'}", "train"))
  assert "x_train (uint8[1000, 64, 64]) would take 4.1 MB" in text
  assert "3.0 MB are free" in text


def test_a_folder_beyond_memory(tmp_path, monkeypatch):
  for name in ("a/1", "a/2", "b/1", "b/2"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (100, 100), "red").save(tmp_path / f"{name}.png")
  monkeypatch.setattr(memory, "available", lambda: 30_000)
  text = one_line(lambda: sources.load(f"folder:{tmp_path}", "train"))
  assert "would take 60.0 kB" in text and "image_side=64" in text


def bomb(width, height):
  """A PNG that says it is large."""

  def chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum

  said = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", said)
    + chunk(b"IDAT", zlib.compress(bytes(1000)))
    + chunk(b"IEND", b"")
  )


@pytest.fixture
def folder(tmp_path):
  for c in "ab":
    for i in range(3):
      (tmp_path / c).mkdir(exist_ok=True)
      pixels = np.random.default_rng(i).integers(0, 256, (5, 5), dtype=np.uint8)
      Image.fromarray(pixels).save(tmp_path / c / f"{i}.png")
  return tmp_path


@pytest.mark.parametrize(
  "make",
  [
    lambda path: path.write_bytes(bomb(60_000, 60_000)),
    os.mkfifo,
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to(path),
    lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40)),
    lambda path: path.write_bytes(b"II*\0" + b"\xff" * 40),
  ],
)
def test_files_of_a_folder(folder, make):
  path = folder / "a" / "x.png"
  make(path)
  text = one_line(lambda: sources.load(f"folder:{folder}", "train"))
  assert f"{path} is not a readable image" in text
  found = sources.load(f"folder:{folder}", "train", skip_broken=True)
  assert len(found.images) == 4


def test_a_pipe_of_another_name_is_passed_over(folder):
  os.mkfifo(folder / "a" / "pipe")
  found = sources.load(f"folder:{folder}", "train")
  assert found.notes == ("passed over, as no images: 1 pipe",)


HIERARCHIES = [
  (os.mkfifo, "no regular file"),
  (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
  (lambda path: path.mkdir(), "cannot be read"),
  (lambda path: path.write_text("[" * 100_000), "nested too deeply"),
  (lambda path: path.write_text("9" * 10_000), "is not JSON|must be"),
  (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not JSON"),
  (
    lambda path: path.write_text(json.dumps({"levels": {"g": "x" * 10_000}})),
    "must have the keys",
  ),
]


@pytest.mark.parametrize(("make", "message"), HIERARCHIES)
def test_hierarchies(tmp_path, make, message):
  import re

  path = tmp_path / "levels.json"
  make(path)
  text = one_line(lambda: sources.load("digits", "train", hierarchy=str(path)))
  assert re.search(message, text), text


def test_a_hierarchy_has_a_limit(tmp_path, monkeypatch):
  (tmp_path / "a.json").write_text(" " * 2_000_000)
  with pytest.raises(ValueError, match="more than 1 MiB"):
    files.read_json(tmp_path / "a.json", 2**20)


def test_a_file_of_names_beside_an_archive(tmp_path):
  x = np.random.default_rng(0).integers(0, 256, (4, 5, 5), dtype=np.uint8)
  np.savez(tmp_path / "a.npz", x=x, y=np.arange(4) % 2)
  os.mkfifo(tmp_path / "meta.json")
  where = f"npz:{tmp_path / 'a.npz'}"
  assert sources.load(where, "all").names == {"2": ("0", "1")}
  (tmp_path / "meta.json").unlink()
  (tmp_path / "meta.json").write_text("[" * 100_000)
  assert sources.load(where, "all").names == {"2": ("0", "1")}


@pytest.mark.parametrize(
  "where", ["a\0b", "a" * 5000, "~nobody-of-that-name/x", "/proc/self/mem"]
)
@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_paths(kind, where):
  one_line(lambda: sources.load(f"{kind}:{where}", "train"))
  one_line(lambda: sources.load("digits", "train", hierarchy=where))


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
  """Whoever runs the tests may read all: the system's answer is made up."""
  real = os.scandir

  def scandir(path="."):
    if str(path).endswith("/a"):
      raise PermissionError(13, "Permission denied", str(path))
    return real(path)

  monkeypatch.setattr(os, "scandir", scandir)
  text = one_line(lambda: sources.load(f"folder:{folder}", "train"))
  assert "Permission denied" in text and f"{folder}/a" in text


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 5), dtype=np.uint8)
IDS, NAMES = np.arange(6) % 2, ("no", "yes")


@pytest.mark.parametrize(
  ("function", "message"),
  [
    (lambda: None, r"TypeError: .*; the contract is load\(split\)"),
    (lambda split, path: None, r"TypeError: .*; the contract is load\(split\)"),
    (lambda *, split: None, r"TypeError: .*; the contract is load\(split\)"),
    (
      lambda split: {}["x"],
      r"split 'train', failed with KeyError: 'x' \(.*test_hostile.py:\d+\)$",
    ),
    (lambda split: None, "returned NoneType"),
    (lambda split: (IMAGES, {"2": IDS}, {"2": NAMES}), "returned tuple"),
    (
      lambda split: source_lib.Source(IMAGES, IDS, {"2": NAMES}),
      "labels are ndarray; return a dictionary",
    ),
    (
      lambda split: source_lib.Source(IMAGES, {"2": IDS}, {"3": NAMES}),
      "labels have the levels 2, names 3",
    ),
    (
      lambda split: source_lib.Source(IMAGES, {}, {}),
      "levels none, names none",
    ),
    (
      lambda split: source_lib.Source(IMAGES, {"2": IDS}, {"2": 2}),
      "the names of level '2' are 2",
    ),
    (
      lambda split: source_lib.Source([[1], [2, 3]], {"2": IDS}, {"2": NAMES}),
      "no arrays",
    ),
    (
      lambda split: source_lib.Source(["a.png"] * 6, {"2": IDS}, {"2": NAMES}),
      r"images have shape \(6,\)",
    ),
    (
      lambda split: source_lib.Source(IMAGES, {"2": IDS + 2**32}, {"2": NAMES}),
      "does not fit into 32 bits",
    ),
    (
      lambda split: source_lib.Source(IMAGES, {"2": IDS + 5}, {"2": NAMES}),
      r"label 5 is outside 0\.\.1",
    ),
  ],
)
def test_functions(monkeypatch, function, message):
  import re

  monkeypatch.setattr(user_code, "find", lambda key, path: function)
  text = one_line(lambda: sources.load("python:my:data", "train"))
  assert re.search(message, text), text


def test_a_function_may_return_lists(monkeypatch):
  made = source_lib.Source(
    IMAGES.tolist(), {"2": IDS.tolist()}, {"2": list(NAMES)}
  )
  monkeypatch.setattr(user_code, "find", lambda key, path: lambda split: made)
  found = sources.load("python:my:data", "train")
  np.testing.assert_array_equal(found.images[..., 0], IMAGES)
  assert found.names == {"2": NAMES}
