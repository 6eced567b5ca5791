"""Files of metaaux.files: complete or absent, regular or refused."""

import os

import pytest

from metaaux import files


@pytest.mark.parametrize("mode", ["r", "rb"])
@pytest.mark.parametrize(
  ("make", "said"),
  [
    (os.mkdir, "Is a directory"),
    (os.mkfifo, "no regular file"),
    (lambda path: os.symlink("/dev/zero", path), "no regular file"),
    (lambda path: os.symlink("nowhere", path), "No such file"),
  ],
)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path, make, said, mode):
  path = tmp_path / "x"
  make(path)
  with pytest.raises(OSError, match=said) as found:
    files.open_regular(path, mode)
  assert found.value.filename == str(path)


def test_a_regular_file_is_read_as_text_or_bytes(tmp_path):
  path = tmp_path / "x"
  path.write_bytes("±\r\n".encode())
  with files.open_regular(path) as file:
    assert file.read() == "±\r\n".encode()
  with files.open_regular(str(path), "r", encoding="utf-8") as file:
    assert file.read() == "±\n"


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_that_is_not_complete_leaves_the_old_one(tmp_path, shared):
  path = tmp_path / "x"
  with files.replacing(str(path), shared=shared) as file:
    file.write(b"old")
    assert not path.exists()
  with (
    pytest.raises(ValueError, match="stops"),
    files.replacing(str(path), shared=shared) as file,
  ):
    file.write(b"new")
    raise ValueError("stops")
  assert os.listdir(tmp_path) == ["x"] and path.read_bytes() == b"old"
