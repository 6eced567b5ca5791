"""Which stages share compiled programs."""

import pytest
import tiny

from metaaux import methods
from metaaux.run import compiled_programs, opening


@pytest.fixture(scope="module")
def run():
  return opening.open_run(
    tiny.config(
      method="meta_mtl",
      num_steps=2,
      **{
        "partition.labels": "kmeans",
        "embedding.name": "deepcluster",
        "embedding.epochs": 3,
      },
    )
  )


def test_stages_of_one_program_are_compiled_once(run):
  *turns, last = methods.make(run.config, run.problem.spec)
  assert {stage.program for stage in turns} == {"embed"} and not last.program
  # What the contract asks of methods of one's own.
  for turn in turns:
    assert turn.updates is turns[0].updates
    assert turn.streams is turns[0].streams
  known = compiled_programs.Programs(run)
  assert known.of(turns[0]) is known.of(turns[2])
  assert known.of(last) is not known.of(turns[0])


def test_a_stage_that_names_none_is_compiled_by_itself(run):
  *_, last = methods.make(run.config, run.problem.spec)
  known = compiled_programs.Programs(run)
  first = known.of(last)
  second = known.of(last._replace(name="again"))
  assert first.keys() == second.keys() == last.updates.keys()
  assert all(first[phase] is not second[phase] for phase in first)
