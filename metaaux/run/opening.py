"""Opens a run: loads its data and puts it where the steps read it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from metaaux import data, messages, models, parallel
from metaaux.config import keys
from metaaux.data import augment
from metaaux.data.sources import lazy_images
from metaaux.errors import UserError
from metaaux.parallel import hosts, image_placement


class Run(NamedTuple):
  """What all stages of a run share.

  Attributes:
    config: the validated config.
    plan: devices and seeds.
    problem: splits and labels, on the host.
    pool: training examples on the device(s).
    tests: name -> test examples on the device(s) and their primary labels.
    seeds: int32 [S], numbers of the seeds.
  """

  config: Any
  plan: parallel.Plan
  problem: data.Problem
  pool: Any
  tests: Mapping[str, tuple[Any, np.ndarray]]
  seeds: np.ndarray


def open_run(config: Any) -> Run:
  """Loads the data and puts it where the steps will read it.

  Raises:
    UserError: the data, its augmentation or the division of work is wrong.
  """
  plan = parallel.plan(config)
  problem = data.build(config)
  if keys.depends(config.method, "model.name"):
    models.check_input(config.model.name, problem.spec.input_shape)
  if problem.spec.is_image:
    shape = problem.spec.image_shape
    augment.check_grayscale(config.augment.grayscale, shape)
    augment.padding(config.augment.pad, config.augment.shift, shape)
  for name in data.constant_attributes(problem):
    messages.warn(
      f"attribute '{name}' is the same in all training images, so that there "
      "is nothing to learn from it"
    )
  pool = image_placement.place(problem.pool, plan)
  # A target domain is tested on images that lie in the pool already.
  same = problem.test is problem.pool
  test = (pool, problem.pool["primary"]) if same else None
  return Run(
    config=config,
    plan=plan,
    problem=problem,
    pool=pool,
    tests={"test": test or _test_set(problem.test, plan)},
    seeds=np.arange(
      config.seed, config.seed + config.num_seeds, dtype=np.int32
    ),
  )


def _test_set(
  examples: Mapping[str, np.ndarray], plan: parallel.Plan
) -> tuple[Any, np.ndarray]:
  return image_placement.place(examples, plan), examples["primary"]


def with_extra_tests(run: Run) -> Run:
  """The run with the test sets of `extra_test`, each named by its source.

  A source that is not at hand, or does not fit, is left out with a warning.
  """
  tests = dict(run.tests)
  for source in run.config.extra_test:

    def load(source: str = source) -> tuple[Any, np.ndarray]:
      split = data.default_split(source)
      examples = data.load_test(run.config, source, split, run.problem)
      return _test_set(examples, run.plan)

    try:
      tests[source] = hosts.together(load)
    except UserError as error:
      messages.warn(f"not evaluated on {source}: {error}")
  return run._replace(tests=tests)


def check_hosts(run: Run) -> None:
  """Refuses a run whose hosts do not all have the same data.

  Raises:
    UserError: a host has other data than the first one.
  """

  def data_of_host() -> list[Any]:
    pool, test = run.problem.pool, run.problem.test
    arrays = [*pool.values(), *test.values(), run.problem.train]
    seen = [lazy_images.digest(x) for x in arrays]
    return [*seen, *sorted(run.tests)]

  hosts.check_same("their data", data_of_host)
