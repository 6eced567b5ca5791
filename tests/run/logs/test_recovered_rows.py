"""A figure is a mean over evaluations, of which none may be lost."""

import json
import re

import pytest

from metaaux.errors import UserError
from metaaux.run.logs import recovered_rows

# Ten steps that train an embedding, then ten with evaluations.
PARTS = (
  recovered_rows.Part("acai", 0, 10, None, False),
  recovered_rows.Part("train", 10, 10, 4, False),
)
WANTED = recovered_rows.Schedule(PARTS, (0, 1), ("train", "test"))


def row(total, split, seed, **more):
  stage = "train" if total > 10 else "acai"
  return {
    "total_step": total,
    "step": total - 10 * (total > 10),
    "epoch": total / 5,
    "stage": stage,
    "split": split,
    "seed": seed,
    "loss": 0.25,
    **({} if split == "batch" else {"accuracy": 0.5}),
    **more,
  }


ROWS = [
  row(total, split, seed)
  for total, splits in (
    (5, ("batch",)),
    (10, ("batch",)),
    (14, ("batch", "train", "test")),
    (15, ("batch",)),
    (18, ("batch", "train", "test")),
    (20, ("batch", "train", "test")),
  )
  for split in splits
  for seed in (0, 1)
]
LINES = [json.dumps(each) for each in ROWS]


def at(total, split="test", seed=1):
  return ROWS.index(row(total, split, seed))


def read(tmp_path, lines):
  path = tmp_path / "metrics.jsonl"
  path.write_text("\n".join(lines) + "\n")
  kept = recovered_rows.read(str(path), WANTED)
  return kept, recovered_rows.first_lost(kept.rows, WANTED)


def test_what_a_run_wrote_is_kept(tmp_path):
  assert read(tmp_path, LINES) == (recovered_rows.Kept(ROWS, 0), None)
  assert read(tmp_path, LINES * 2) == (recovered_rows.Kept(ROWS, 0), None)
  assert read(tmp_path, LINES[: at(14)]) == (
    recovered_rows.Kept(ROWS[: at(14)], 0),
    14,
  )
  # Cut short, as by a crash.
  assert read(tmp_path, [*LINES, LINES[0][:30]])[0].lost == 0
  assert read(tmp_path, [])[1] == 14
  assert recovered_rows.first_lost([], WANTED._replace(parts=PARTS[:1])) is None


@pytest.mark.parametrize(
  "line",
  [
    "\0" * 200,
    LINES[at(14)][:-9],
    "",
    "null",
    "[]",
    "3",
    "{}",
    *(
      json.dumps(row(14, "test", 1) | changes)
      for changes in (
        {"total_step": 24},  # beyond the end
        {"total_step": None},
        {"step": 3},
        {"stage": "acai"},
        {"stage": ["train"]},
        {"seed": 2},
        {"seed": None},
        {"split": "valid"},
        {"split": ["test"]},
        {"accuracy": None},
        {"accuracy": float("nan")},
        {"total_step": 15, "step": 5},  # no evaluation is due
      )
    ),
    *(
      json.dumps({k: v for k, v in row(14, "test", 1).items() if k != name})
      for name in ("step", "stage", "split", "seed", "accuracy", "loss")
    ),
  ],
)
def test_what_is_lost_is_known(tmp_path, line):
  lines = list(LINES)
  lines[at(14)] = line
  kept, lost = read(tmp_path, lines)
  assert (kept.lost, lost) == (1, 14)
  assert kept.rows == [each for each in ROWS if each != row(14, "test", 1)]


def test_rows_that_contradict_each_other_are_none(tmp_path):
  other = json.dumps(row(18, "test", 0, accuracy=0.75))
  kept, lost = read(tmp_path, [*LINES, other])
  assert (kept.lost, lost) == (1, 18)
  # Their order is no matter.
  kept, lost = read(tmp_path, LINES[::-1])
  assert (kept.lost, lost) == (0, None)
  assert [each["total_step"] for each in kept.rows] == [
    each["total_step"] for each in ROWS
  ]


def test_a_stage_of_another_run_left_no_rows():
  shared = PARTS[1]._replace(may_lack=True)
  wanted = WANTED._replace(parts=(PARTS[0], shared))
  assert recovered_rows.first_lost(ROWS[:4], wanted) is None
  assert recovered_rows.first_lost(ROWS[: at(14)], wanted) == 14


@pytest.mark.parametrize(
  ("lines", "done", "said"),
  [
    (LINES, 20, ""),
    (LINES, 14, ""),
    (LINES, 0, ""),
    (LINES[: at(15, "batch", 0)], 14, ""),
    ([*LINES[:2], "\0", *LINES[3:]], 20, "1 line of .*jsonl cannot be read;"),
    (LINES[: at(15, "batch", 0)], 15, "ends at step 14, .* is of step 15;"),
    (["null", *LINES], 0, ""),
  ],
)
def test_rows_of_work_that_is_done_again_go(tmp_path, lines, done, said):
  kept, _ = read(tmp_path, lines)
  path, told = tmp_path / "metrics.jsonl", []
  rows = recovered_rows.keep(str(path), kept, WANTED, done, told.append)
  assert rows == [each for each in kept.rows if each["total_step"] <= done]
  assert path.read_text() == "".join(f"{json.dumps(each)}\n" for each in rows)
  assert [each.name for each in tmp_path.iterdir()] == ["metrics.jsonl"]
  if said:
    (line,) = told
    assert re.search(said, line)
    assert line.endswith(
      "; the evaluations before the checkpoint are there, "
      "and the run goes on with a gap in its loss"
    )
  else:
    assert not told


def test_no_rows_before_a_stage_that_another_run_trained(tmp_path):
  wanted = WANTED._replace(parts=(PARTS[0]._replace(may_lack=True), PARTS[1]))
  path = str(tmp_path / "metrics.jsonl")
  kept = recovered_rows.read(path, wanted)
  assert recovered_rows.keep(path, kept, wanted, 10, pytest.fail) == []


def test_an_end_without_all_its_evaluations_is_none(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text("\n".join(LINES))
  assert recovered_rows.all_rows(str(path), WANTED) == ROWS
  path.write_text("\n".join(LINES[:-1]))
  with pytest.raises(
    UserError, match=r"lost rows of the evaluation at step 20"
  ):
    recovered_rows.all_rows(str(path), WANTED)
