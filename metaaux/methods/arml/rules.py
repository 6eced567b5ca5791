"""The rule for task weights that a config names, and what it looks at."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from metaaux.config import user_code
from metaaux.config.keys import WEIGHTING_OPTIONS
from metaaux.errors import UserError
from metaaux.methods.arml import user_rules
from metaaux.methods.reweighting import WEIGHTINGS, Tasks, Weighting
from metaaux.methods.task_set import TaskSet, split
from metaaux.stage import Array, Batches, Key

Tree = Any

# Rules that are defined on the last shared layer, as ARML's code has them.
_ON_LAST_LAYER = ("gradnorm", "cosine_similarity")
# Rules that ARML's code applies at every 20th step; all others at every step.
_SELDOM = (
  "arml",
  "qp_ema",
  "gradnorm",
  "cosine_similarity",
  "ol_aux",
)
_SELDOM_EVERY = 20
_NEVER = ("uniform", "fixed")
# Rules of logarithms or ratios of losses, which have to be positive.
_SHIFTED = ("gradnorm", "adaloss", "uncertainty", "dwa")
# ARML's code moves all weights at 0.05, on losses that it halves. Products of
# two gradients are then a quarter of ours, norms of one a half.
_PUBLISHED_RATES = {"ol_aux": 0.0125, "gradnorm": 0.025}


class Rule(NamedTuple):
  """A weighting and its timetable.

  Attributes:
    weighting: the rule.
    every: it is applied at steps every - 1, 2 every - 1 ...; 0: never. The
      first steps of the network are on the weights that a rule starts from.
    skip_every: the network takes no step at steps skip_every - 1 ...; 0: it
      takes all.
    last_layer: whether it looks at the last shared layer alone.
    held_out: whether it needs a second batch of the primary task.
  """

  weighting: Weighting
  every: int
  skip_every: int
  last_layer: bool
  held_out: bool


def from_config(config: Any, tasks: TaskSet) -> Rule:
  """The rule of `config.weighting`.

  Args:
    config: `weighting` and `optimizer.learning_rate`; a rule that is an import
      path, such as my_rule:make, is a function config -> `Weighting`, applied
      at every step unless `weighting.every` says otherwise.
    tasks: whose weights they will be.

  Raises:
    UserError: an option does not fit the rule or the tasks.
  """
  options, name = config.weighting, config.weighting.name
  if user_code.is_path(name):
    weighting = user_rules.make(
      f"weighting.name={name!r}",
      user_code.find("weighting.name", name),
      config,
      len(tasks.names),
    )
    last_layer = options.layer == "last"
    return Rule(
      weighting,
      options.every or 1,
      _skip_every(options),
      last_layer,
      held_out=False,
    )
  try:
    weighting = WEIGHTINGS[name](**_arguments(config, tasks))
    jax.eval_shape(lambda: weighting.init(len(tasks.names)))
  except ValueError as error:
    raise UserError(f"weighting.name={name!r}: {error}") from error
  every = _SELDOM_EVERY if name in _SELDOM else 1
  layer = "last" if name in _ON_LAST_LAYER else "all"
  return Rule(
    weighting,
    0 if name in _NEVER else options.every or every,
    _skip_every(options),
    last_layer=(options.layer if options.layer != "auto" else layer) == "last",
    held_out=name == "auto_lambda",
  )


def _arguments(config: Any, tasks: TaskSet) -> dict[str, Any]:
  """What the constructor of the rule is called with."""
  options, name = config.weighting, config.weighting.name
  rate = options.learning_rate or _PUBLISHED_RATES.get(name)
  of_rules: Mapping[str, Mapping[str, Any]] = {
    "fixed": {"values": options["values"]},
    "arml": {
      "eta": options.eta,
      "eta_mode": options.eta_mode,
      "projection": options.projection,
    },
    "gradnorm": {"learning_rate": rate, "gamma": options.gamma},
    "ol_aux": {"learning_rate": rate},
    "adaloss": {"loss_scale": tasks.loss_scale},
    "uncertainty": {"optimizer": optax.sgd(rate) if rate else None},
    "dwa": {"updates_per_epoch": options.epoch},
    "auto_lambda": {
      "inner_lr": config.optimizer.learning_rate,
      "optimizer": optax.adam(rate) if rate else None,
    },
  }
  found = dict(of_rules.get(name, {}))
  if name in _SHIFTED:
    found["shift"] = tasks.shifts or 0.0
  for key, rules in WEIGHTING_OPTIONS.items():
    # 0 is the rule's own bound.
    if name in rules and (key != "smallest" or options.options.smallest):
      found[key] = options.options[key]
  return found


def _skip_every(options: Any) -> int:
  """Each 20th step, whatever the rule, as the code of ARML has it."""
  if not options.skip_step:
    return 0
  if options.every == 1:
    raise UserError(
      "weighting.skip_step=True with weighting.every=1 skips every step of the "
      "network; set weighting.every to 2 or more, or 0 for 20"
    )
  return options.every or _SELDOM_EVERY


def tasks_at(
  rule: Rule,
  tasks: TaskSet,
  state: Any,
  batches: Batches,
  key: Key,
  axis_name: str | None,
) -> Tasks:
  """The losses as functions of the shared parameters.

  The same batch, keys and statistics as in training, so that one compiled step
  shares the forward pass between both; new statistics are dropped.

  Args:
    rule: the rule.
    tasks: the tasks.
    state: with `params`, `stats` and `extra`.
    batches: of the streams, and "held_out" if the rule needs it.
    key: that training uses.
    axis_name: devices, or None.
  """
  shared, heads = split(state.params)
  point, put = last_layer(shared) if rule.last_layer else (shared, _itself)

  def losses(point: Tree, batches: Batches) -> Any:
    params = {**put(point), **heads}
    return tasks.losses(params, state.stats, state.extra, batches, key)

  held_out = None
  if rule.held_out:
    other = {**batches, "train": batches["held_out"]}

    def held_out(point: Tree) -> Array:
      return losses(point, other).primary

  def primary_and_auxiliary(point: Tree) -> tuple[Array, Array]:
    found = losses(point, batches)
    return found.primary, found.auxiliary

  return Tasks(
    point,
    lambda point: losses(point, batches).primary,
    lambda point: losses(point, batches).auxiliary,
    held_out_loss=held_out,
    axis_name=axis_name,
    all_losses=primary_and_auxiliary,
  )


def _itself(tree: Tree) -> Tree:
  return tree


def last_layer(shared: Tree) -> tuple[Array, Callable[[Array], Tree]]:
  """Kernel of the last shared convolution, and how to put another there.

  The last by the names of its path, numbers by their size; shortcuts count only
  where there is no other, dense layers likewise.
  """
  leaves, structure = jax.tree_util.tree_flatten_with_path(shared)
  kernels = [i for i, (path, _) in enumerate(leaves) if _name(path) == "kernel"]

  def rank(i: int) -> tuple[bool, bool, list[Any]]:
    path, leaf = leaves[i]
    name = jax.tree_util.keystr(path)
    return leaf.ndim == 4, "shortcut" not in name, _natural(name)

  chosen = max(kernels, key=rank)

  def put(kernel: Array) -> Tree:
    values = [kernel if i == chosen else x for i, (_, x) in enumerate(leaves)]
    return jax.tree.unflatten(structure, values)

  return leaves[chosen][1], put


def _name(path: tuple[Any, ...]) -> str:
  return str(getattr(path[-1], "key", path[-1]))


def _natural(text: str) -> list[Any]:
  return [
    (int(part), "") if part.isdigit() else (-1, part)
    for part in re.split(r"(\d+)", text)
  ]
