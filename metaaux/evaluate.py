"""The evaluation of a run, and a command that does it again.

  metaaux evaluate --workdir=runs/digits/maxl
  metaaux evaluate --workdir=RUN --dataset=tfds:cifar10_1/v4

Restores the newest checkpoint of a run, which may be finished or not, or the
best one, and prints the accuracy of each seed, with their mean and its 95%
confidence interval. Nothing is written.

Exit status: 0 done; 2 the command, the run or the data is wrong.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metaaux import config as config_lib
from metaaux import data, messages
from metaaux.data import identity
from metaaux.data.sources import split_names
from metaaux.errors import UserError
from metaaux.parallel import image_placement
from metaaux.run import (
  attribute_scores,
  cli,
  confidence_intervals,
  data_record,
  scoring,
)
from metaaux.run.checkpoints.reopen import Restored, restore
from metaaux.run.opening import Run
from metaaux.stage import Stage

Rows = list[dict[str, Any]]
Seeded = Any

_ROW_KEYS = {"step", "total_step", "epoch", "stage", "split", "seed"}


def make(
  stage: Stage,
  run: Run,
  keep: Callable[[int, np.ndarray], None] = lambda step, correct: None,
) -> Callable[[Seeded, int], Rows]:
  """The whole evaluation of a stage.

  Args:
    stage: whose state is evaluated.
    run: data and devices.
    keep: (step, bool [S, n]), gets on which test images each seed is right.

  Returns:
    (states, step) -> a row for each split and seed, with `split`, `seed` and
    metrics; the meta split's row also has what is known of generated labels
    and of the virtual step, the test split's the scores of all attributes.
  """
  predict = scoring.make_predictor(stage, run)
  on_test = scoring.make_test_scores(stage, run)
  label_report, probe = (
    scoring.make_label_report(stage, run),
    scoring.make_probe(stage, run),
  )
  limit = run.config.eval_examples
  problem = run.problem

  def part(positions: np.ndarray) -> np.ndarray:
    whole = positions.shape[1] <= limit
    return positions if whole else scoring.some(positions, limit)

  def on_split(
    states: Seeded, examples: Any, positions: np.ndarray, labels: np.ndarray
  ) -> list[dict[str, float]]:
    logits = predict(states, examples, positions)
    return [
      scoring.scores(*pair, problem.spec.groups, problem.group_names)
      for pair in zip(logits, labels[positions], strict=True)
    ]

  def evaluate(states: Seeded, step: int) -> Rows:
    found: dict[str, Sequence[dict[str, float]]] = {}
    labels = problem.pool["primary"]
    train, meta = part(problem.train), part(problem.meta)
    found["train"] = on_split(states, run.pool, train, labels)
    found["meta"] = (
      [dict(row) for row in found["train"]]
      if np.array_equal(train, meta)
      else on_split(states, run.pool, meta, labels)
    )
    found["test"], correct = on_test(states)
    keep(step, correct)
    for name, (examples, labels) in run.tests.items():
      if name == "test":
        continue
      found[name] = on_split(
        states,
        examples,
        data.every_position(len(labels), len(run.seeds)),
        labels,
      )
    more = zip(label_report(states), probe(states, step), strict=True)
    for row, (statistics, probed) in zip(found["meta"], more, strict=True):
      row.update(statistics | probed)
    return [
      {"split": split, "seed": int(seed), **row}
      for split, rows in found.items()
      for seed, row in zip(run.seeds, rows, strict=True)
    ]

  return evaluate


def summarise(
  run: Run, steps: int, rows: Rows, seconds: float
) -> dict[str, Any]:
  """What result.json holds.

  The reported accuracy of a seed is the mean over its last `average_last`
  evaluations on the test split (Liu, Davison & Johns 2019, section 4), not the
  best of all. So are `metrics`, those of binary tasks; `attributes` has
  those of each attribute at the last evaluation. `levels` are the primary and
  the auxiliary one that an empty key of the config stood for.

  Args:
    run: config and devices.
    steps: updates of all stages.
    rows: of metrics.jsonl.
    seconds: of this process, data loading included.
  """
  config = run.config
  return {
    "method": config_lib.label(config),
    "dataset": config.dataset,
    "levels": list(run.problem.levels),
    "metric": "accuracy",
    "test_images": int(run.problem.tested().shape[1]),
    **_measured(run, rows),
    "seeds": run.seeds.tolist(),
    "steps": steps,
    "seconds": seconds,
    "devices": [d.device_kind for d in run.plan.devices],
    "config_sha256": config_lib.digest(config),
  }


def _measured(run: Run, rows: Rows) -> dict[str, Any]:
  """What the evaluations of the last stage say of the seeds."""
  config = run.config
  last_stage = rows[-1]["stage"]
  rows = [row for row in rows if row["stage"] == last_stage]

  def of_seeds(split: str, name: str) -> list[list[float]]:
    return [
      [r[name] for r in rows if r["split"] == split and r["seed"] == seed]
      for seed in run.seeds
    ]

  def averages(split: str, name: str) -> list[float]:
    values = of_seeds(split, name)
    return [float(np.mean(of[-config.average_last :])) for of in values]

  test = of_seeds("test", "accuracy")
  per_seed = averages("test", "accuracy")
  mean, ci95 = confidence_intervals.mean_ci(per_seed)
  final = [r for r in rows if r["split"] == "meta"][-len(run.seeds) :]
  known = {
    key
    for key in set.intersection(*map(set, final)) - _ROW_KEYS
    if not key.startswith(scoring.GROUP_PREFIX)
  }
  # Of the test split, since a part of another may lack some groups.
  tested = next(row for row in rows if row["split"] == "test")
  return {
    "mean": mean,
    "ci95": ci95,
    "per_seed": per_seed,
    "final_per_seed": [values[-1] for values in test],
    "best_per_seed": [max(values) for values in test],
    "averaged_evaluations": min(config.average_last, len(test[0])),
    "extra_tests": {
      name: averages(name, "accuracy") for name in run.tests if name != "test"
    },
    "metrics": {
      key: averages("test", key)
      for key in attribute_scores.SUMMARISED
      if key in tested
    },
    "attributes": attribute_scores.summary(
      tested, lambda key: [values[-1] for values in of_seeds("test", key)]
    ),
    "groups": {
      name.removeprefix(scoring.GROUP_PREFIX): averages("test", name)
      for name in sorted(tested)
      if name.startswith(scoring.GROUP_PREFIX)
    },
    "meta_split": {key: [row[key] for row in final] for key in sorted(known)},
  }


def on_split(
  restored: Restored, split: str, dataset: str = ""
) -> list[dict[str, float]]:
  """Scores of every seed.

  Args:
    restored: of `restore`.
    split: "train", "meta" or "test", as the run itself divides its data, or
      "domain_0", "domain_1" ... of its source domains; or a split of the
      source, such as test[:50%].
    dataset: a source with the same classes; "": that of the run.

  Returns:
    For each seed `accuracy` (a fraction), `loss` (nats) and `examples`; of two
    classes also `average_precision` and `balanced_accuracy`.

  Raises:
    UserError: the split or the source is wrong.
  """
  rows, _ = with_interval(restored, split, dataset)
  return rows


def with_interval(
  restored: Restored, split: str, dataset: str = ""
) -> tuple[list[dict[str, float]], float]:
  """`on_split`, and half a 95% interval of the mean accuracy.

  The interval covers the seeds and the images (`confidence_intervals`); of one
  seed the images alone.
  """
  run, problem = restored.run, restored.run.problem
  # A source may have a split "all" of its own.
  if split in problem.splits and split != "all" and not dataset:
    examples, labels = run.pool, problem.pool["primary"]
    positions = problem.positions(split)
  elif split == "test" and not dataset:
    (examples, labels), positions = run.tests["test"], problem.tested()
  else:
    source = dataset or run.config.dataset
    host = data.load_test(run.config, source, split, problem)
    examples, labels = image_placement.place(host, run.plan), host["primary"]
    positions = data.every_position(len(labels), len(run.seeds))
  if (labels[positions] < 0).any():
    raise UserError(
      f"split {split!r} has examples without a label, so that nothing can be "
      "said of their accuracy; evaluate another"
    )
  predict = scoring.make_predictor(restored.stage, run)
  logits = predict(restored.states, examples, positions)
  pairs = list(zip(logits, labels[positions], strict=True))
  rows = [
    {
      **scoring.scores(*pair, problem.spec.groups, problem.group_names),
      "examples": positions.shape[1],
    }
    for pair in pairs
  ]
  correct = [scoring.correct(*pair, problem.spec.groups) for pair in pairs]
  return rows, confidence_intervals.of_shares(np.stack(correct), positions)


def _is_own(workdir: str, config: Any, dataset: str) -> bool:
  """Whether a source is what the run was trained on, by whatever path."""
  if not dataset or dataset == config.dataset:
    return True
  known = (data_record.read(workdir) or {}).get("sources", {})
  return identity.is_of(config, known, dataset)


def _say_which(flags: Any, split: str, number: int) -> None:
  """A line where a source does not say itself what is for testing."""
  whole = data.default_split(flags.dataset)
  if whole == "test":
    return
  images = messages.count(number, "image")
  if split == whole:
    messages.say(
      f"{flags.dataset} is not divided into train and test; all of its "
      f"{images} are evaluated"
    )
  elif flags.dataset.startswith("folder:") and split in ("train", "test"):
    messages.say(
      f"{flags.dataset} is not divided into train and test; a fifth of each "
      f"class is taken for test, and of {split} {images}; without --split all "
      "are evaluated"
    )


def _print(flags: Any) -> None:
  split_names.parse(flags.split or "test")
  restored = restore(
    flags.workdir,
    best_one=flags.checkpoint == "best",
    elsewhere=bool(flags.dataset),
  )
  config = restored.run.config
  is_own = _is_own(flags.workdir, config, flags.dataset)
  split = flags.split or (
    "test" if is_own else data.default_split(flags.dataset)
  )
  rows, half = with_interval(restored, split, flags.dataset)
  if flags.dataset:
    for line in data.unread(flags.dataset):
      messages.warn(line)
    # Of the run's own data the test split is what it was tested on.
    if not is_own:
      _say_which(flags, split, rows[0]["examples"])
  print(
    f"{config.method}, trained on {config.dataset} for {restored.step} of "
    f"{restored.stage.num_steps} steps"
  )
  for seed, row in zip(restored.run.seeds, rows, strict=True):
    accuracy = confidence_intervals.format_ci(row["accuracy"], None)
    more = ""
    if "average_precision" in row:
      precision = confidence_intervals.format_ci(row["average_precision"], None)
      more = f", average precision {precision} %"
    print(f"seed {seed}: accuracy {accuracy} %{more}, loss {row['loss']:.4f}")
  figure = confidence_intervals.format_ci(
    *confidence_intervals.mean_ci([r["accuracy"] for r in rows])
  )
  print(
    f"{flags.dataset or config.dataset}, {split}: accuracy {figure} % "
    f"({messages.count(len(rows), 'seed')}, {rows[0]['examples']} examples)"
  )
  covered = "seeds and examples" if len(rows) > 1 else "examples"
  width = confidence_intervals.format_ci(half, None)
  print(f"± {width} over {covered}, as a sample of all there could be")


def main(argv: Sequence[str]) -> int:
  """Runs the command with these arguments; returns its exit status."""
  parser = cli.parser("metaaux evaluate", __doc__)
  parser.add_argument(
    "--workdir",
    type=cli.path,
    metavar="DIR",
    required=True,
    help="run directory",
  )
  parser.add_argument(
    "--split",
    metavar="SPLIT",
    default="",
    help="train, meta, test or domain_0 ... as the run divides its data, or a "
    "split of the source such as test[:50%%]; without it test, and of another "
    "source that is not divided all images",
  )
  parser.add_argument(
    "--checkpoint",
    choices=("newest", "best"),
    default="newest",
    help="which one is evaluated; best: by the held-out training images, of a "
    "run with config.keep_best (%(default)s)",
  )
  parser.add_argument(
    "--dataset",
    metavar="SOURCE",
    default="",
    help="another source with the same classes, matched by name, or some of "
    "them: digits, tfds:NAME, npz:PATH or folder:PATH",
  )
  return cli.status_of(lambda: _print(parser.parse_args(argv)), {})


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
