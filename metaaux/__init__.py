"""Learning with auxiliary tasks, in JAX."""

import pathlib

__version__ = "0.1.0"

# The wheel has experiments/ and configs/ of a checkout inside the package. So
# that `metaaux.experiments` is a name in a checkout, too, its modules are also
# looked for beside it.
_BESIDE = pathlib.Path(__file__).resolve().parents[1]
if (_BESIDE / "setup.cfg").is_file():
  __path__.append(str(_BESIDE))
