"""Vectors that something else computed, read from a file.

Another run's embedding, or the features of any network the user has.
"""

import os
import zipfile

import numpy as np

from metaaux.errors import UserError

# The array that is read of an .npz file; caches of runs have it too.
KEY = "embedding"


def read(path: str, count: int) -> np.ndarray:
  """Vectors of all images of the training pool, in its order.

  Args:
    path: an .npy file of floats [n, d], or an .npz file with such an array
      named "embedding", for instance `cache/embedding-acai-*.npz` of a run.
    count: n, images of the pool.

  Returns:
    float32 [n, d].

  Raises:
    UserError: there is no such file, or what it holds does not fit.
  """
  if not path:
    raise UserError(
      "embedding.name='file' needs embedding.path, an .npy or .npz file with "
      f"a vector for each of the {count} training images"
    )
  path = os.path.expanduser(path)
  if not os.path.isfile(path):
    raise UserError(f"embedding.path={path!r} is not a file")
  try:
    with open(path, "rb") as stream:
      vectors = _array(np.load(stream, allow_pickle=False), path)
  except UserError:
    raise
  except (OSError, MemoryError, ValueError, EOFError, zipfile.BadZipFile):
    raise UserError(
      f"embedding.path={path!r} cannot be read; write it with numpy.save or "
      "numpy.savez"
    ) from None
  if vectors.ndim != 2 or vectors.dtype.kind != "f":
    raise UserError(
      f"embedding.path={path!r} holds {vectors.dtype}{list(vectors.shape)}; "
      "it must be floats [n, d]"
    )
  if len(vectors) != count:
    raise UserError(
      f"embedding.path={path!r} has {len(vectors)} vectors, but there are "
      f"{count} training images; give one for each, in the order of the data"
    )
  if not np.isfinite(vectors).all():
    raise UserError(f"embedding.path={path!r} has NaN or infinity in it")
  return vectors.astype(np.float32)


def _array(found: np.ndarray | np.lib.npyio.NpzFile, path: str) -> np.ndarray:
  """What an .npy file is, or the array of an .npz file."""
  if isinstance(found, np.ndarray):
    return found
  if KEY not in found.files:
    raise UserError(
      f"embedding.path={path!r} holds {', '.join(found.files) or 'nothing'}; "
      f"name the array of vectors {KEY!r}"
    )
  return found[KEY]
