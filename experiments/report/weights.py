"""Task weights in a report: over time, and beside them the gradients."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaaux import parallel
from metaaux.errors import UserError
from metaaux.methods.arml import arml
from metaaux.methods.arml import rules as weight_rules
from metaaux.methods.reweighting import gram
from metaaux.run import batches as batches_lib
from metaaux.run import confidence_intervals
from metaaux.run.checkpoints import reopen
from metaaux.run.logs import pictures

from .. import output as output_lib
from .parts import (
  WIDTH,
  Figure,
  Section,
  Table,
  count,
  legend,
  svg,
)

_BATCHES = 4
_MAX_TASKS = 12


class Similarity(NamedTuple):
  """Cosines between the gradients of all tasks.

  Attributes:
    names: the primary task, then the auxiliary ones.
    cosines: float [T, T], means over batches and seeds.
    where: parameters that the gradients are of, in words.
    step: that the checkpoint is of.
    seeds: number of seeds.
  """

  names: tuple[str, ...]
  cosines: np.ndarray
  where: str
  step: int
  seeds: int


def similarity(workdir: str) -> Similarity:
  """Gradients at the newest checkpoint, where the rule itself looks at them.

  Args:
    workdir: of a run of method arml, finished or not.

  Raises:
    UserError: there is no checkpoint, or the data is not at hand.
  """
  restored = reopen.restore(workdir)
  run, stage = restored.run, restored.stage
  problem = arml.assemble(run.config, run.problem.spec)

  def products(state: Any, inputs: Any, pool: Any, step: Any) -> tuple:
    batches = batches_lib.batches_at(run, stage, inputs, pool, step, state)
    key = jax.random.fold_in(batches_lib.key_of(inputs["seed"], "update"), step)
    tasks = weight_rules.tasks_at(
      problem.rule, problem.tasks, state, batches, key, None
    )
    return (gram(tasks).of_all,)

  compiled = parallel.compile_step(products, run.plan)
  inputs = batches_lib.inputs_at(run, stage, 0, None)
  found = []
  for step in range(_BATCHES):
    inputs = batches_lib.inputs_at(run, stage, step, inputs)
    (value,) = compiled(restored.states, inputs.value, run.pool, np.int32(step))
    found.append(parallel.to_host(value, run.plan))
  names = ("primary", *problem.tasks.names)
  return Similarity(
    names,
    cosines(np.concatenate(found)),
    "the last shared layer"
    if problem.rule.last_layer
    else "all shared parameters",
    restored.step,
    len(run.seeds),
  )


def cosines(products_NxTxT: np.ndarray) -> np.ndarray:
  """Mean cosines [T, T] of products of gradients; 0 for a zero gradient."""
  norm_NxT = np.sqrt(np.diagonal(products_NxTxT, axis1=1, axis2=2))
  scale = norm_NxT[:, :, None] * norm_NxT[:, None, :]
  positive = scale > 0
  ratio = np.where(positive, products_NxTxT / np.where(positive, scale, 1), 0)
  return ratio.mean(0)


def section(
  rows: Sequence[dict[str, Any]],
  found: Similarity | UserError | None,
  name: str,
) -> Section:
  """What a report says of the weights of a run.

  Args:
    rows: of metrics.jsonl, some with weights.
    found: of `similarity`, why there is none, or None where it has no meaning.
    name: for the identifiers of the pictures.
  """
  steps, weights = pictures.curves(rows, pictures.WEIGHTS)
  figures, notes = [_weights(steps, weights, name)], []
  if isinstance(found, UserError):
    notes.append(f"The similarity of the gradients is left out: {found}.")
  elif found is not None and len(found.names) <= _MAX_TASKS:
    figures.append(_matrix(found, name))
  elif found is not None:
    notes.append(
      f"The similarity of the gradients of {len(found.names)} tasks is left "
      f"out; {_MAX_TASKS} is the most that can be read."
    )
  lead = (
    "The weight of each auxiliary loss beside the primary one. A task that is "
    "of no use should end low."
  )
  return Section(
    "Task weights", lead, figures, tables=[_last(weights)], notes=notes
  )


def _weights(
  steps: np.ndarray, weights: dict[str, np.ndarray], name: str
) -> Figure:
  figure = output_lib.new_figure(WIDTH, 3.2)
  axes = figure.subplots()
  pictures.plot_lines(axes, pictures.WEIGHTS, steps, weights)
  legend(figure)
  ends = ", ".join(
    f"{task} {values[-1].mean():.2f}"
    for task, values in list(weights.items())[:_MAX_TASKS]
  )
  return Figure(
    svg(figure, f"{name}-weights"),
    f"Task weights over training; at the end {ends}.",
    "Weights over training, with 95% bands over seeds; the legend has the "
    "weight at the end.",
  )


def _last(weights: dict[str, np.ndarray]) -> Table:
  by_weight = sorted(weights.items(), key=lambda item: -item[1][-1].mean())
  seeds = by_weight[0][1].shape[1]
  return Table(
    f"Weights at the end, {count(seeds, 'seed')}",
    ["task", "weight", "least in training", "most in training"],
    [
      [
        task,
        confidence_intervals.format_ci(
          *confidence_intervals.mean_ci(values[-1]), percent=False
        ),
        f"{values.mean(1).min():.2f}",
        f"{values.mean(1).max():.2f}",
      ]
      for task, values in by_weight
    ],
  )


def _matrix(found: Similarity, name: str) -> Figure:
  """Cosines as numbers on a scale that colour-blind readers can tell."""
  number = len(found.names)
  figure = output_lib.new_figure(WIDTH, 1.2 + 0.4 * number)
  axes = figure.subplots()
  axes.pcolormesh(found.cosines, cmap="PuOr_r", vmin=-1, vmax=1)
  axes.invert_yaxis()
  middle, short = np.arange(number) + 0.5, [n[:14] for n in found.names]
  axes.set_xticks(middle, short, rotation=30, ha="right")
  axes.set_yticks(middle, short)
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)
  for i, row in enumerate(found.cosines):
    for j, value in enumerate(row):
      # Not black and white, which would follow the page's theme.
      ink = "#fefefe" if abs(value) > 0.6 else "#101010"
      text = f"{value:.2f}".replace("-", "−")
      axes.text(
        j + 0.5, i + 0.5, text, ha="center", va="center", color=ink, fontsize=8
      )
  pairs = "; ".join(
    f"{task} {value:.2f}"
    for task, value in zip(found.names[1:], found.cosines[0, 1:], strict=True)
  )
  return Figure(
    svg(figure, f"{name}-gradients"),
    f"Cosines between the gradients of the tasks; with the primary task: "
    f"{pairs}.",
    f"Cosines between the tasks' gradients in {found.where} at step "
    f"{found.step}, mean of {_BATCHES} batches and "
    f"{count(found.seeds, 'seed')}.",
  )
