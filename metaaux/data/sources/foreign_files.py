"""Finds the images among files that somebody else made."""

import contextlib
import os
import pathlib
from typing import NamedTuple

from metaaux import files
from metaaux.errors import UserError

SUFFIXES = (
  *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib"),
  *(".gif", ".webp", ".avif", ".jp2", ".tif", ".tiff"),
  *(".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
)
# How the content of an image begins, for files with another suffix or none.
_BEGINNINGS = (
  *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
  *(b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  "),
)
# What archives, systems and viewers leave in folders, besides hidden entries.
_JUNK = ("__macosx", "@eadir", "lost+found", "thumbs", "thumbnails")


class Found(NamedTuple):
  """The files of a class folder and of the folders inside it.

  Attributes:
    images: image files, those of a folder before those of folders inside it.
    others: files that are no images.
    nested: number of images that lie in folders inside.
  """

  images: list[pathlib.Path]
  others: list[pathlib.Path]
  nested: int


def expand(where: str, origin: str) -> pathlib.Path:
  """The path that a user means, with `~` expanded.

  Raises:
    UserError: the text cannot be a path.
  """
  try:
    path = pathlib.Path(where).expanduser()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
      path.stat()
  except (ValueError, RuntimeError, OSError) as error:
    raise unreadable(origin, error) from error
  return path


def unreadable(origin: str, error: Exception) -> UserError:
  """The error that a file cannot be read, as one short line."""
  reason = getattr(error, "strerror", None) or str(error)
  name = getattr(error, "filename", None)
  named = f": {short(str(name))}" if name and str(name) not in origin else ""
  origin = short(origin.replace("\0", "\\0"))
  return UserError(
    f"{origin} cannot be read ({reason}{named}); check the path and its "
    "permissions"
  )


def short(text: str, length: int = 200) -> str:
  """The text, or its beginning and end."""
  half = length // 2
  return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"


def is_junk(name: str) -> bool:
  """Whether an entry of a folder is hidden, or there by accident."""
  return name.startswith(".") or name.lower() in _JUNK


def is_image(entry: os.DirEntry[str]) -> bool:
  """Whether a file is an image, by its suffix or else by its content."""
  if os.path.splitext(entry.name)[1].lower() in SUFFIXES:
    return True
  if not entry.is_file():
    return False
  try:
    with files.open_regular(entry.path) as stream:
      start = stream.read(16)
  except OSError:
    return False
  is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
  return is_webp or start.startswith(_BEGINNINGS)


def walk(folder: pathlib.Path, *, inside: bool = True) -> Found:
  """All images of a folder and, if `inside`, of those inside it, by name."""
  found, seen = Found([], [], 0), set()

  def add(path: str, *, is_top: bool) -> int:
    real = os.path.realpath(path)
    if real in seen:  # a link to a folder above
      return 0
    seen.add(real)
    with os.scandir(path) as listing:
      entries = sorted(
        (e for e in listing if not is_junk(e.name)),
        key=lambda e: pathlib.Path(e.name),
      )
    # Of pathlib, for which a link to itself is no folder, and no error.
    folders = [e for e in entries if pathlib.Path(e.path).is_dir()]
    others = [e for e in entries if e not in folders]
    chosen = [entry for entry in others if is_image(entry)]
    found.images.extend(pathlib.Path(entry.path) for entry in chosen)
    left = set(others) - set(chosen)
    found.others.extend(pathlib.Path(e.path) for e in entries if e in left)
    nested = sum(add(e.path, is_top=False) for e in folders if inside)
    return nested + (0 if is_top else len(chosen))

  return found._replace(nested=add(str(folder), is_top=True))
