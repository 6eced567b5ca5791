"""What methods of one's own have to keep to, checked where they are traced.

Stages of the package are held to the contract by tests. Those of somebody else
are wrapped: what their functions return is looked at, in shapes and types,
while they are traced, so that it costs nothing in training; and a slip is one
line that says what is asked for.
"""

import json
import numbers
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaaux.config import user_code
from metaaux.errors import UserError
from metaaux.stage import Prepare, Spec, Stage, StreamSpec

# Of the rows of metrics.jsonl, which a metric must not take the place of.
RESERVED = ("step", "total_step", "epoch", "stage", "split", "seed")

_MAKE = (
  "make(config, spec, *, axis_name=None) -> a tuple of metaaux.stage.Stage"
)
_CONTRACTS = {
  "init": "init(key, batch, previous) -> state",
  "update": "update(state, batches, key, step) -> (state, metrics)",
  "predict": "predict(state, images) -> logits [B, C]",
  "targets": "targets(state, batch) -> soft labels [B, K]",
  "probe": "probe(state, batches, step) -> metrics",
  "attributes": "attributes(state, images) -> logits [B, K]",
  "phase": "phase(step) -> a key of updates",
  "alarms": "alarms(metrics) -> {kind: text}",
  "compute": "prepare.compute(view) -> arrays as prepare.shapes says",
  "draw": "draw(state, key, B) -> int positions [B]",
}


def make_stages(
  what: str,
  constructor: Callable[..., Any],
  config: Any,
  spec: Spec,
  **more: Any,
) -> tuple[Stage, ...]:
  """Stages of a constructor of somebody else, whose functions are checked.

  Args:
    what: `method='MODULE:FUNCTION'`, for messages.
    constructor: as in `methods.METHODS`.
    config: of the run.
    spec: the problem.
    **more: `axis_name`.

  Raises:
    UserError: it fails, or returns something else; later, so do functions of
      the stages.
  """
  found = user_code.call(what, _MAKE, constructor, config, spec, **more)
  if isinstance(found, Stage):
    raise UserError(
      f"{what} returned one Stage; return a tuple of stages, (stage,)"
    )
  is_tuple = isinstance(found, Iterable) and not isinstance(
    found, str | Mapping
  )
  stages = tuple(found) if is_tuple else ()
  if not stages or not all(isinstance(stage, Stage) for stage in stages):
    others = [each for each in stages if not isinstance(each, Stage)]
    seen = (
      f"{_named(found)} of {_named(others[0])}" if others else _named(found)
    )
    empty = "no stage" if is_tuple and not stages else seen
    raise UserError(f"{what} returned {empty}; the contract is {_MAKE}")
  for stage in stages:
    _check_fields(what, stage)
  names = [stage.name for stage in stages]
  if len(set(names)) < len(names):
    raise UserError(
      f"{what} has stages of one name ({', '.join(names)}); give each its own"
    )
  if stages[-1].predict is None:
    raise UserError(
      f"{what}: the last stage, {names[-1]!r}, has no predict, so that nothing "
      f"could be evaluated; give it one: {_CONTRACTS['predict']}"
    )
  _check_programs(what, stages)
  return tuple(_checked(what, stage, spec) for stage in stages)


def _named(value: Any) -> str:
  return type(value).__name__


def expect(ok: bool, what: str, value: Any, wanted: str) -> None:
  """Raises UserError unless a value is as it should be.

  Args:
    ok: whether it is.
    what: what it is of, for the message.
    value: seen.
    wanted: what the contract asks for.
  """
  if not ok:
    seen = f"{value!r}" if isinstance(value, str | int | float) else ""
    seen = seen or ("None" if value is None else f"of type {_named(value)}")
    raise UserError(f"{what} is {seen}; it must be {wanted}")


def _check_fields(what: str, stage: Stage) -> None:
  """Raises UserError unless every field of a stage is of its type."""
  expect(
    isinstance(stage.name, str) and bool(stage.name),
    f"{what}: name of a stage",
    stage.name,
    "a text that is not empty",
  )
  what = f"{what}: stage {stage.name!r}:"
  steps = stage.num_steps
  whole = isinstance(steps, numbers.Integral) and not isinstance(steps, bool)
  wanted = "a whole number of at least 1"
  expect(whole and steps >= 1, f"{what} num_steps", steps, wanted)
  check_streams(what, stage.streams)
  expect(
    is_table(stage.updates) and all(map(callable, stage.updates.values())),
    f"{what} updates",
    stage.updates,
    f"a mapping from phases to functions {_CONTRACTS['update']}",
  )
  for name in ("init", "phase", "alarms"):
    function = getattr(stage, name)
    expect(callable(function), f"{what} {name}", function, _function(name))
  for name in ("predict", "targets", "probe", "attributes"):
    function = getattr(stage, name)
    ok = function is None or callable(function)
    expect(ok, f"{what} {name}", function, f"None or {_function(name)}")
  prepare = stage.prepare
  ok = prepare is None or isinstance(prepare, Prepare)
  expect(ok, f"{what} prepare", prepare, "None or a metaaux.stage.Prepare")
  try:
    json.dumps(stage.reuse)
    ok = stage.reuse is None or isinstance(stage.reuse, Mapping)
  except (TypeError, ValueError):
    ok = False
  wanted = "None or a mapping that JSON can hold"
  expect(ok, f"{what} reuse", stage.reuse, wanted)
  ok = isinstance(stage.program, str)
  expect(ok, f"{what} program", stage.program, "a text, '' for its own")


def _function(name: str) -> str:
  return f"a function {_CONTRACTS[name]}"


def is_table(value: Any) -> bool:
  """Whether a value is a mapping from texts that is not empty."""
  return (
    isinstance(value, Mapping)
    and bool(value)
    and all(isinstance(key, str) for key in value)
  )


def check_streams(what: str, streams: Any) -> None:
  """Raises UserError unless streams are a mapping of `StreamSpec`s."""
  wanted = "a mapping from names to metaaux.stage.StreamSpec(split, augment)"
  expect(is_table(streams), f"{what} streams", streams, wanted)
  for name, spec in streams.items():
    stream = f"{what} stream {name!r}"
    expect(isinstance(spec, StreamSpec), stream, spec, wanted)
    expect(
      isinstance(spec.split, str), f"{stream}: split", spec.split, "a text"
    )
    ok = isinstance(spec.batch_size, int) and spec.batch_size >= 0
    wanted_size = "a whole number, 0 for that of the config"
    expect(ok, f"{stream}: batch_size", spec.batch_size, wanted_size)
    ok = spec.draw is None or callable(spec.draw)
    expect(ok, f"{stream}: draw", spec.draw, f"None or {_function('draw')}")


def _check_programs(what: str, stages: Iterable[Stage]) -> None:
  """Raises UserError unless stages of one program could be one program."""
  known: dict[str, Stage] = {}
  for stage in stages:
    first = known.setdefault(stage.program, stage) if stage.program else stage
    for name in ("updates", "streams"):
      if getattr(first, name) is not getattr(stage, name):
        raise UserError(
          f"{what}: the stages {first.name!r} and {stage.name!r} name one "
          f"program, {stage.program!r}, and differ in {name}; give both the "
          "same mapping, or name two programs"
        )


def _checked(what: str, stage: Stage, spec: Spec) -> Stage:
  """The stage, whose functions complain about what they return."""
  what = f"{what}: stage {stage.name!r}:"

  def checks(name: str, check: Callable[..., Any]) -> Callable[..., Any] | None:
    function = getattr(stage, name)
    return function and checked(
      f"{what} {name}", _CONTRACTS[name], function, check
    )

  def phase_check(where: str, found: Any, step: int) -> None:
    known = ", ".join(map(repr, stage.updates))
    ok = isinstance(found, str) and found in stage.updates
    expect(ok, f"{where} of step {step}", found, f"one of {known}")

  def rows(number: int) -> Callable[..., None]:
    def check(where: str, found: Any, state: Any, images: Any) -> None:
      del state
      images = images["image"] if isinstance(images, Mapping) else images
      expect_shape(where, found, (len(images), number))

    return check

  updates = {
    name: checked(
      f"{what} update {name!r}", _CONTRACTS["update"], function, check_update
    )
    for name, function in stage.updates.items()
  }
  prepare = stage.prepare
  if prepare is not None:
    compute = checked(
      f"{what} prepare",
      _CONTRACTS["compute"],
      prepare.compute,
      lambda where, found, view: same_tree(where, found, prepare.shapes),
    )
    prepare = prepare._replace(compute=compute)
  return stage._replace(
    num_steps=int(stage.num_steps),
    init=checks("init", check_state),
    updates=updates,
    predict=checks("predict", rows(spec.num_primary)),
    prepare=prepare,
    phase=checks("phase", phase_check),
    targets=checks("targets", rows(spec.num_auxiliary)),
    probe=checks("probe", lambda where, found, *_: check_metrics(where, found)),
    attributes=checks("attributes", rows(len(spec.attribute_names))),
    alarms=checks("alarms", _check_alarms),
  )


def checked(
  what: str,
  contract: str,
  function: Callable[..., Any],
  check: Callable[..., Any],
) -> Callable[..., Any]:
  """A function that turns its failures and slips into one line.

  Args:
    what: whose it is.
    contract: how it is called and what it returns.
    function: of somebody else.
    check: (what, result, *arguments) raises UserError where it is wrong.
  """

  @wraps(function, assigned=("__name__", "__doc__"), updated=())
  def call(*arguments: Any) -> Any:
    found = user_code.call(what, contract, function, *arguments)
    check(f"{what} ({contract})", found, *arguments)
    return found

  return call


def check_state(where: str, found: Any, *arguments: Any) -> None:
  """Raises UserError unless a state is made of arrays."""
  del arguments
  for path, leaf in jax.tree_util.tree_leaves_with_path(found):
    ok = isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float)
    name = f"{where}: the state's leaf {jax.tree_util.keystr(path)}".rstrip()
    expect(ok, name, leaf, "an array")


def check_update(where: str, found: Any, state: Any, *others: Any) -> None:
  """Raises UserError unless an update returned a like state and metrics."""
  del others
  alone = isinstance(found, tuple) and hasattr(found, "_fields")
  if alone or not (isinstance(found, tuple | list) and len(found) == 2):
    length = f" of {len(found)}" if isinstance(found, tuple | list) else ""
    raise UserError(
      f"{where} returned {_named(found)}{length}; return two things, the new "
      "state and a mapping of metrics"
    )
  new, metrics = found
  check_metrics(where, metrics)
  same_tree(where, new, state)


def check_metrics(where: str, metrics: Any) -> None:
  """Raises UserError unless metrics are scalars by name."""
  texts = isinstance(metrics, Mapping) and all(
    isinstance(name, str) for name in metrics
  )
  wanted = "a mapping from names to scalars"
  expect(texts, f"{where}: what it returned for metrics", metrics, wanted)
  for name, value in metrics.items():
    metric = f"{where}: metric {name!r}"
    if name in RESERVED:
      raise UserError(
        f"{metric} has the name of a column of metrics.jsonl; call it "
        f"something else than {', '.join(RESERVED)}"
      )
    ok = isinstance(value, jax.Array | np.ndarray | np.generic | int | float)
    expect(ok, metric, value, "a scalar")
    if jnp.shape(value) != ():
      raise UserError(
        f"{metric} has the shape {list(jnp.shape(value))}; it must be a "
        "scalar, such as its mean"
      )


def expect_shape(where: str, found: Any, shape: tuple[int, ...]) -> None:
  """Raises UserError unless an array has this shape."""
  ok = isinstance(found, jax.Array | np.ndarray)
  expect(ok, f"{where}: what it returned", found, f"an array {list(shape)}")
  if found.shape != shape:
    raise UserError(
      f"{where} returned an array {list(found.shape)}; it must be "
      f"{list(shape)} here"
    )


def same_tree(where: str, found: Any, wanted: Any) -> None:
  """Raises UserError unless two trees have the same leaves, shapes, types."""
  leaves, known = (
    {
      jax.tree_util.keystr(path): leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    for tree in (found, wanted)
  )
  odd = sorted(leaves.keys() ^ known.keys())
  same = jax.tree.structure(found) == jax.tree.structure(wanted)
  if odd or not same:
    named = f" ({', '.join(odd[:3])})" if odd else ""
    raise UserError(
      f"{where} returned {_named(found)} with other leaves than what it "
      f"replaces, {_named(wanted)}{named}; return all of them, in the same "
      "structure"
    )
  for path, leaf in leaves.items():
    kinds = [_kind(x) for x in (leaf, known[path])]
    if kinds[0] != kinds[1]:
      raise UserError(
        f"{where}: leaf {path or 'of it'} is {kinds[0]}, and what it replaces "
        f"is {kinds[1]}; keep shape and type"
      )


def _kind(leaf: Any) -> str:
  """`float32[3, 4]` of an array, a shape or a number."""
  dtype = getattr(leaf, "dtype", None)
  dtype = jnp.result_type(leaf) if dtype is None else dtype
  shape = leaf.shape if hasattr(leaf, "shape") else np.shape(leaf)
  return f"{dtype}{list(shape)}"


def _check_alarms(where: str, found: Any, metrics: Any) -> None:
  del metrics
  ok = isinstance(found, Mapping) and all(
    isinstance(text, str) for pair in found.items() for text in pair
  )
  wanted = (
    "a mapping of texts by kind, such as {'usage': 'few classes are in use'}, "
    "or {} where nothing is wrong"
  )
  expect(ok, f"{where}: what it returned", found, wanted)
