"""The picture that a run leaves behind: the weights of its tasks over time.

matplotlib is imported here alone in the package, and only to draw.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaaux import metrics, rundir

WEIGHTS = "weights.png"
_PREFIX = "weight_"

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# With more tasks than colours, the heaviest and the lightest are named.
_ENDS = 3


def weight_curves(
  rows: Sequence[dict[str, Any]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Task weights over training.

  Args:
    rows: of metrics.jsonl.

  Returns:
    Steps [n], and by task the weights [n, S] of all seeds.
  """
  rows = [
    row
    for row in rows
    if row["split"] == "batch" and any(k.startswith(_PREFIX) for k in row)
  ]
  steps = sorted({row["total_step"] for row in rows})
  names = [k.removeprefix(_PREFIX) for k in rows[0] if k.startswith(_PREFIX)]
  by_step: dict[int, list[dict[str, Any]]] = {step: [] for step in steps}
  for row in rows:
    by_step[row["total_step"]].append(row)
  return np.array(steps), {
    name: np.array([[r[_PREFIX + name] for r in by_step[s]] for s in steps])
    for name in names
  }


def draw_weights(workdir: str) -> str | None:
  """Draws weights.png in a run directory, for a run that has task weights.

  Returns:
    Its path, or None where there are no weights or matplotlib is missing.
  """
  rows = metrics.read_rows(os.path.join(workdir, rundir.METRICS))
  if not any(key.startswith(_PREFIX) for row in rows for key in row):
    return None
  try:
    from matplotlib.figure import Figure
  except ImportError:
    metrics.warn(
      f"{WEIGHTS} is not drawn: matplotlib is missing; "
      "pip install 'metaaux[report]'"
    )
    return None
  figure = Figure(figsize=(7, 4), layout="constrained")
  _draw(figure.subplots(), *weight_curves(rows))
  path = os.path.join(workdir, WEIGHTS)
  figure.savefig(path + metrics.PARTIAL, dpi=150, format="png")
  os.replace(path + metrics.PARTIAL, path)
  return path


def _draw(axes: Any, steps: np.ndarray, curves: dict[str, np.ndarray]) -> None:
  """The weights, and beside them whose they are."""
  plot_weights(axes, steps, curves)
  seeds = next(iter(curves.values())).shape[1]
  axes.figure.legend(
    title=f"weight at the end,\nmean of {seeds} seeds",
    loc="outside right upper",
    fontsize=8,
    frameon=False,
  )
  axes.spines[["top", "right"]].set_visible(False)


def plot_weights(
  axes: Any, steps: np.ndarray, curves: dict[str, np.ndarray]
) -> None:
  """A line for each task with its 95% interval over seeds.

  Args:
    axes: of matplotlib.
    steps: of `weight_curves`, as are the curves.
    curves: by task, [n, S].
  """
  heaviest_first = sorted(curves, key=lambda name: -curves[name][-1].mean())
  named = heaviest_first
  if len(named) > len(_COLOURS):
    named = heaviest_first[:_ENDS] + heaviest_first[-_ENDS:]
  others = [name for name in heaviest_first if name not in named]
  for i, name in enumerate(others):
    label = f"{len(others)} others" if i == 0 else None
    axes.plot(steps, curves[name].mean(1), color="#BBBBBB", lw=0.7, label=label)
  for name, colour in zip(named, _COLOURS, strict=False):
    points = [metrics.mean_ci(values) for values in curves[name]]
    mean, half = np.array([(m, h or 0.0) for m, h in points]).T
    axes.plot(steps, mean, color=colour, label=f"{name} {mean[-1]:.2f}")
    axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.2)
  axes.set_xlabel("step")
  axes.set_ylabel("weight of the task")
  axes.set_ylim(bottom=0)
