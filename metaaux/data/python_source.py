"""Data from code of one's own: `python:MODULE:FUNCTION`."""

from metaaux import own_code
from metaaux.data import arrays, slices
from metaaux.errors import UserError


def load(where: str, part: slices.Slice) -> arrays.Source:
  """Loads a part of what a function returns.

  Args:
    where: import path of a function (name of a split) -> `arrays.Source`, the
      whole split. Images and labels are checked as those of every source.
    part: the split, or a part of it.

  Raises:
    UserError: the function is not there, or returns something else.
  """
  function = own_code.find("dataset", where)
  contract = "load(split) -> metaaux.data.Source(images, labels, names)"
  what = f"dataset='python:{where}'"
  found = own_code.call(what, contract, function, part.name)
  if not isinstance(found, arrays.Source):
    raise UserError(
      f"dataset='python:{where}' returned {type(found).__name__} for split "
      f"'{part.name}'; return metaaux.data.Source(images, labels, names)"
    )
  return arrays.cut(arrays.check(found, f"python:{where}"), part)
