"""Vectors that something else computed, read from a file.

Another run's embedding, or the features of any network the user has.
"""

import numpy as np

from metaaux.data.sources import archive, foreign_files
from metaaux.errors import UserError

# The array that is read of an .npz file; caches of runs have it too.
KEY = "embedding"
_WRITE = "write it with numpy.save or numpy.savez"


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
  origin = f"embedding.path={path!r}"
  where = foreign_files.expand(path, origin)
  if not where.is_file():
    raise UserError(f"{origin} is not a file")
  found = archive.open_archive(
    where, origin, write=_WRITE, remedy="store fewer numbers of each image"
  )
  key = archive.ONLY if found.is_one_array else KEY
  if key not in found:
    raise UserError(
      f"{origin} holds {', '.join(found) or 'nothing'}; name the array of "
      f"vectors {KEY!r}"
    )
  with archive.reading(origin, _WRITE):
    vectors = found[key]
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
