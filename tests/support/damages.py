"""Kinds of damage to the files of a checkpoint."""

import pathlib


def truncate(path):
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])


def flip(path):
  """A bit at several places, of which some hold nothing that is read."""
  data = bytearray(path.read_bytes())
  for i in range(1, 16, 2) if data else ():
    data[len(data) * i // 16] ^= 1
  path.write_bytes(data)


DAMAGES = {
  "truncated": truncate,
  "empty": lambda path: path.write_bytes(b""),
  "flipped": flip,
  "missing": pathlib.Path.unlink,
  "garbage": lambda path: path.write_bytes(b"\0no { metadata"),
}


def parts(step):
  """Of a checkpoint's folder: the tree, the index, its root and most data."""
  found = step / "default"
  data = (found / "ocdbt.process_0" / "d").iterdir()
  return {
    "_METADATA": found / "_METADATA",
    "manifest": found / "manifest.ocdbt",
    "root": next((found / "d").iterdir()),
    "data": max(data, key=lambda path: path.stat().st_size),
  }
