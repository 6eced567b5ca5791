"""What a rule for task weights has to keep to that is not of the package."""

from collections.abc import Callable
from typing import Any

import jax

from metaaux.config import user_code
from metaaux.errors import UserError
from metaaux.methods.contract import (
  check_metrics,
  checked,
  expect,
  expect_shape,
  same_tree,
)
from metaaux.methods.reweighting import Tasks, Weighting

_RULE = "make(config) -> metaaux.methods.reweighting.Weighting"
_INIT = "init(num_tasks) -> a state with weight_K"
_UPDATE = "update(state, tasks, key) -> (weight_K, state, metrics)"


def make(
  what: str, constructor: Callable[..., Any], config: Any, num_tasks: int
) -> Weighting:
  """A rule of somebody else, whose functions are checked.

  Args:
    what: `weighting.name='MODULE:FUNCTION'`, for messages.
    constructor: config -> `Weighting`.
    config: of the run.
    num_tasks: number of auxiliary tasks, K.

  Raises:
    UserError: it fails, or returns something else; later, so do its functions.
  """
  rule = user_code.call(what, _RULE, constructor, config)
  if not isinstance(rule, Weighting):
    raise UserError(
      f"{what} returned {type(rule).__name__}; the contract is {_RULE}"
    )
  for name, contract in (
    ("init", _INIT),
    ("update", _UPDATE),
  ):
    function = getattr(rule, name)
    expect(
      callable(function), f"{what}: {name}", function, f"a function {contract}"
    )

  def init_check(where: str, state: Any, number: int) -> None:
    weight_K = getattr(state, "weight_K", None)
    has = isinstance(state, tuple) and weight_K is not None
    expect(
      has, f"{where}: what it returned", state, "a NamedTuple with weight_K"
    )
    expect_shape(f"{where}: weight_K", weight_K, (number,))

  def update_check(
    where: str, found: Any, state: Any, tasks: Tasks, _: Any
  ) -> None:
    del tasks
    ok = isinstance(found, tuple | list) and len(found) == 3
    wanted = "three things, weight_K, a state and metrics"
    expect(ok, f"{where}: what it returned", found, wanted)
    weight_K, new, metrics = found
    expect_shape(f"{where}: weight_K", weight_K, state.weight_K.shape)
    same_tree(where, new, state)
    check_metrics(where, metrics)

  weighting = Weighting(
    checked(f"{what}: init", _INIT, rule.init, init_check),
    checked(f"{what}: update", _UPDATE, rule.update, update_check),
  )
  jax.eval_shape(lambda: weighting.init(num_tasks))
  return weighting
