"""What the auxiliary tasks of a setting have to keep to.

As `contract`, for settings that a config names by their import path.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from metaaux.config import user_code
from metaaux.errors import UserError
from metaaux.methods.contract import (
  check_metrics,
  check_streams,
  checked,
  expect,
  expect_shape,
  same_tree,
)
from metaaux.methods.task_set import Losses, TaskSet
from metaaux.stage import Spec

_TASKS = (
  "make(config, spec, *, axis_name=None) -> metaaux.methods.task_set.TaskSet"
)
_CONTRACTS = {
  "init": "init(key, batch) -> (params, stats, extra)",
  "losses": "losses(params, stats, extra, batches, key) -> Losses",
  "predict": "predict(params, stats, images) -> logits [B, C]",
  "advance": "advance(extra, params) -> extra",
  "attributes": "attributes(params, stats, images) -> logits [B, K]",
}


def make_tasks(
  what: str,
  constructor: Callable[..., Any],
  config: Any,
  spec: Spec,
  **more: Any,
) -> TaskSet:
  """The tasks of a setting of somebody else, whose functions are checked.

  Args:
    what: `setting='MODULE:FUNCTION'`, for messages.
    constructor: as in `arml.tasks.SETTINGS`.
    config: of the run.
    spec: the problem.
    **more: `axis_name`.

  Raises:
    UserError: it fails, or returns something else; later, so do functions of
      the tasks.
  """
  found = user_code.call(what, _TASKS, constructor, config, spec, **more)
  if not isinstance(found, TaskSet):
    raise UserError(
      f"{what} returned {type(found).__name__}; the contract is {_TASKS}"
    )
  names = tuple(found.names) if isinstance(found.names, tuple | list) else ()
  unlike = len(set(map(str, names))) == len(names) > 0
  ok = unlike and all(isinstance(name, str) for name in names)
  expect(ok, f"{what}: names", found.names, "a tuple of texts, one a task")
  check_streams(f"{what}:", found.streams)
  if "train" not in found.streams:
    raise UserError(
      f"{what} has the streams {', '.join(found.streams)}; it needs one that "
      "is called train, with the labelled images of the primary task"
    )
  for name, contract in _CONTRACTS.items():
    function = getattr(found, name)
    ok = callable(function) or (name == "attributes" and function is None)
    expect(ok, f"{what}: {name}", function, f"a function {contract}")
  shifts = tuple(found.shifts)
  if len(shifts) not in (0, len(names)):
    raise UserError(
      f"{what}: shifts has {len(shifts)} entries for {len(names)} tasks; give "
      "one a task, or ()"
    )
  return _checked(what, found._replace(names=names, shifts=shifts), spec)


def _checked(what: str, tasks: TaskSet, spec: Spec) -> TaskSet:
  """The tasks, whose functions complain about what they return."""

  def checks(name: str, check: Callable[..., Any]) -> Callable[..., Any] | None:
    function = getattr(tasks, name)
    return function and checked(
      f"{what}: {name}", _CONTRACTS[name], function, check
    )

  def init_check(where: str, found: Any, *arguments: Any) -> None:
    del arguments
    ok = isinstance(found, tuple | list) and len(found) == 3
    wanted = "three things, params, stats and extra"
    expect(ok, f"{where}: what it returned", found, wanted)
    params = found[0]
    named = isinstance(params, dict) and any(
      name.startswith("head_") for name in params
    )
    if not named:
      raise UserError(
        f"{where}: params have no head; they must be a dict whose keys "
        "head_NAME are the heads, the rest is shared"
      )

  def losses_check(where: str, found: Any, *arguments: Any) -> None:
    del arguments
    expect(
      isinstance(found, Losses), f"{where}: what it returned", found, "Losses"
    )
    expect_shape(f"{where}: primary", jnp.asarray(found.primary), ())
    auxiliary = jnp.asarray(found.auxiliary)
    expect_shape(f"{where}: auxiliary", auxiliary, (len(tasks.names),))
    check_metrics(where, found.metrics)

  def rows(number: int) -> Callable[..., None]:
    def check(where: str, found: Any, *arguments: Any) -> None:
      expect_shape(where, found, (len(arguments[-1]), number))

    return check

  return tasks._replace(
    init=checks("init", init_check),
    losses=checks("losses", losses_check),
    predict=checks("predict", rows(spec.num_primary)),
    advance=checks(
      "advance", lambda where, found, extra, _: same_tree(where, found, extra)
    ),
    attributes=checks("attributes", rows(len(spec.attribute_names))),
  )
