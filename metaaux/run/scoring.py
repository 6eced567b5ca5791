"""Scores of a state on examples: accuracy, generated labels, the probe."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from metaaux import losses, parallel
from metaaux.losses import groups
from metaaux.run import attribute_scores
from metaaux.run import batches as batches_lib
from metaaux.run.opening import Run
from metaaux.stage import Stage

Seeded = Any

# Examples in one call of the network; divided among the devices.
_BATCH = 256
# The probe differentiates twice; a few batches of the meta split are enough.
_PROBE_BATCHES = 4
# Of the names of groups' accuracies.
GROUP_PREFIX = "accuracy/"
# Of human labels, to see by how much chance agrees with them.
_PERMUTATIONS = 3


def _blocks(positions_SxN: np.ndarray, size: int) -> Iterator[np.ndarray]:
  """[S, size] blocks of positions; the last is filled up with its first."""
  for start in range(0, positions_SxN.shape[1], size):
    block = positions_SxN[:, start : start + size]
    missing = size - block.shape[1]
    yield np.concatenate([block, block[:, :1].repeat(missing, 1)], 1)


def some(positions_SxN: np.ndarray, count: int) -> np.ndarray:
  """[S, min(count, N)] positions in a random order, which is always the same.

  Data may be stored class by class; then the first images of a split, or a
  batch of neighbours, would show few classes.
  """
  order_N = np.random.default_rng(0).permutation(positions_SxN.shape[1])
  return positions_SxN[:, order_N[:count]]


def make_predictor(
  stage: Stage, run: Run
) -> Callable[[Seeded, Any, np.ndarray], np.ndarray]:
  """Makes a function that returns the primary logits of many examples.

  Returns:
    (states, replicated examples, positions [S, n]) -> float32 [S, n, C].
  """
  shards = run.plan.num_shards
  size = -(-_BATCH // shards) * shards

  def predict(state: Any, index_B: Any, examples: Any, arg: Any) -> tuple:
    del arg
    index_B = parallel.shard(index_B, run.plan)
    batch = batches_lib.draw(run, examples, index_B, None)
    return (stage.predict(state, batch["image"]),)

  compiled = parallel.compile_step(predict, run.plan)

  def predict_all(
    states: Seeded, examples: Any, positions_SxN: np.ndarray
  ) -> np.ndarray:
    parts = []
    for block in _blocks(positions_SxN, size):
      inputs = parallel.from_host(block.astype(np.int32), run.plan)
      (logits,) = compiled(states, inputs, examples, np.int32(0))
      parts.append(parallel.gather(logits, run.plan))
    return np.concatenate(parts, 1)[:, : positions_SxN.shape[1]]

  return predict_all


def scores(
  logits_NxC: np.ndarray,
  labels_N: np.ndarray,
  group_of_class: Sequence[int] = (),
  group_names: Sequence[str] = (),
) -> dict[str, float]:
  """Accuracy (a fraction) and cross-entropy (nats) of a split.

  With groups, classes compete within their group, and `group_accuracies` are
  added; with two classes, `attribute_scores.binary`.
  """
  found = groups.restrict(logits_NxC, labels_N, group_of_class)
  loss = losses.softmax_cross_entropy(found, labels_N)
  hits = correct(logits_NxC, labels_N, group_of_class)
  binary = {}
  if not group_of_class:
    binary = attribute_scores.of_logits(logits_NxC, labels_N)
  return {
    "accuracy": float(hits.mean()),
    "loss": float(loss.mean()),
    **binary,
    **group_accuracies(hits, labels_N, group_of_class, group_names),
  }


def correct(
  logits_NxC: np.ndarray,
  labels_N: np.ndarray,
  group_of_class: Sequence[int] = (),
) -> np.ndarray:
  """bool [N]: whether the likeliest class in the group is the true one."""
  found = groups.restrict(logits_NxC, labels_N, group_of_class)
  return np.asarray(found).argmax(-1) == labels_N


def group_accuracies(
  hits_N: np.ndarray,
  labels_N: np.ndarray,
  group_of_class: Sequence[int],
  names: Sequence[str],
) -> dict[str, float]:
  """Share of hits of each group, and their mean over groups.

  Args:
    hits_N: bool [n], whether the network was right on each example.
    labels_N: int [n], true classes.
    group_of_class: C group ids; (): there are no groups, and no shares.
    names: of the groups.

  Returns:
    `group_accuracy`, and `accuracy/NAME` of each group that has examples.
  """
  if not group_of_class:
    return {}
  group_N = np.asarray(group_of_class)[labels_N]
  found = {
    names[g]: float(hits_N[group_N == g].mean()) for g in np.unique(group_N)
  }
  return {
    "group_accuracy": float(np.mean(list(found.values()))),
    **{GROUP_PREFIX + name: share for name, share in found.items()},
  }


def make_test_scores(
  stage: Stage, run: Run
) -> Callable[[Seeded], tuple[list[dict[str, float]], np.ndarray]]:
  """Makes a function that scores states on the test split.

  Scores of attributes are among them where there are any.

  Returns:
    states -> (scores of each seed, bool [S, n]: whether the seed was right).
  """
  problem, spec = run.problem, run.problem.spec
  whole = attribute_scores.with_attributes(stage, run)
  predict = make_predictor(whole, run)
  (examples, labels), tested = run.tests["test"], problem.tested()
  attributes = problem.test.get("attributes")

  def of_seed(logits: np.ndarray, own: np.ndarray) -> dict[str, float]:
    first, others = np.split(logits, [spec.num_primary], axis=-1)
    found = scores(first, labels[own], spec.groups, problem.group_names)
    more = attribute_scores.row(
      found,
      problem.levels[0],
      others,
      None if attributes is None else attributes[own],
      spec.attribute_names,
    )
    return found | more

  def on_test(states: Seeded) -> tuple[list[dict[str, float]], np.ndarray]:
    logits = predict(states, examples, tested)
    pairs = list(zip(logits, tested, strict=True))
    hits = [
      correct(found[..., : spec.num_primary], labels[own], spec.groups)
      for found, own in pairs
    ]
    return [of_seed(*pair) for pair in pairs], np.stack(hits)

  return on_test


def make_label_collector(
  stage: Stage, run: Run
) -> Callable[[Seeded], tuple[np.ndarray, np.ndarray]]:
  """Makes a function that collects generated labels over the meta split.

  Batches have the training size.

  Returns:
    states -> (labels [S, n, K], positions [S, n]), in a random order; examples
    that do not fill a batch are left out, as in training.
  """

  def targets(state: Any, index_B: Any, pool: Any, arg: Any) -> tuple:
    del arg
    index_B = parallel.shard(index_B, run.plan)
    return (stage.targets(state, batches_lib.draw(run, pool, index_B, None)),)

  compiled = parallel.compile_step(targets, run.plan)
  size = run.config.batch_size
  limit = min(run.config.eval_examples, run.problem.meta.shape[1])
  positions = some(run.problem.meta, max(1, limit // size) * size)

  def collect(states: Seeded) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for block in _blocks(positions, size):
      inputs = parallel.from_host(block.astype(np.int32), run.plan)
      (labels,) = compiled(states, inputs, run.pool, np.int32(0))
      parts.append(parallel.gather(labels, run.plan))
    return np.concatenate(parts, 1), positions

  return collect


def agreement(
  labels_NxK: np.ndarray, human_N: np.ndarray, primary_N: np.ndarray
) -> float:
  """Normalised mutual information of generated and human labels.

  It compares the likeliest generated label with the human one inside each
  primary class, and averages over the classes. 0: none, 1: the same partition.
  """
  from sklearn.metrics import normalized_mutual_info_score

  chosen_N = labels_NxK.argmax(-1)
  per_class = [
    normalized_mutual_info_score(
      human_N[primary_N == c], chosen_N[primary_N == c]
    )
    for c in np.unique(primary_N)
  ]
  return float(np.mean(per_class))


def chance_agreement(
  labels_NxK: np.ndarray, human_N: np.ndarray, primary_N: np.ndarray
) -> float:
  """`agreement` by chance: with human labels permuted inside each class.

  It is far from 0 where images are few and labels are many.
  """
  rng, found = np.random.default_rng(0), []
  for _ in range(_PERMUTATIONS):
    mixed_N = human_N.copy()
    for c in np.unique(primary_N):
      own = primary_N == c
      mixed_N[own] = rng.permutation(human_N[own])
    found.append(agreement(labels_NxK, mixed_N, primary_N))
  return float(np.mean(found))


def make_label_report(
  stage: Stage, run: Run
) -> Callable[[Seeded], list[dict[str, float]]]:
  """Makes a function that describes the generated labels of each seed.

  It returns a {} for each seed of a stage that generates none.
  """
  if stage.targets is None:
    return lambda states: [{} for _ in run.seeds]
  collect = make_label_collector(stage, run)
  pool, spec = run.problem.pool, run.problem.spec

  def report(states: Seeded) -> list[dict[str, float]]:
    found = []
    for labels_NxK, positions in zip(*collect(states), strict=True):
      primary_N = pool["primary"][positions]
      row = dict(losses.label_statistics(labels_NxK, primary_N, spec.psi))
      if spec.has_auxiliary:
        compared = labels_NxK, pool["auxiliary"][positions], primary_N
        row["human_agreement"] = agreement(*compared)
        row["human_agreement_chance"] = chance_agreement(*compared)
      found.append(row)
    return found

  return report


def make_probe(
  stage: Stage, run: Run
) -> Callable[[Seeded, int], list[dict[str, float]]]:
  """Makes a function that averages the stage's probe, for each seed.

  It averages over batches of the stage's streams, which hold random examples,
  the same at every evaluation.
  """
  if stage.probe is None:
    return lambda states, step: [{} for _ in run.seeds]

  def probe(state: Any, inputs: Any, pool: Any, step: Any) -> tuple:
    batches = {
      name: batches_lib.draw(run, pool, parallel.shard(index_B, run.plan), None)
      for name, index_B in inputs.items()
    }
    return (stage.probe(state, batches, step),)

  compiled = parallel.compile_step(probe, run.plan)
  sizes = {
    name: batches_lib.batch_size(run, spec)
    for name, spec in stage.streams.items()
  }
  splits = {
    name: some(run.problem.positions(spec.split), _PROBE_BATCHES * sizes[name])
    for name, spec in stage.streams.items()
  }
  number = min(splits[name].shape[1] // size for name, size in sizes.items())

  def report(states: Seeded, step: int) -> list[dict[str, float]]:
    results = []
    for i in range(number):
      blocks = {
        name: splits[name][:, i * size : (i + 1) * size].astype(np.int32)
        for name, size in sizes.items()
      }
      inputs = parallel.from_host(blocks, run.plan)
      (values,) = compiled(states, inputs, run.pool, np.int32(step))
      results.append(parallel.to_host(values, run.plan))
    return [
      {k: float(np.mean([r[k][s] for r in results])) for k in results[0]}
      for s in range(run.config.num_seeds)
    ]

  return report
