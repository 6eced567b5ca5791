"""A disk that is full as far as this process can tell."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(size=1):
  """No file may grow beyond `size` bytes: the system refuses, errno EFBIG."""
  before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
