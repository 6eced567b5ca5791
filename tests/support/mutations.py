"""Which small changes to the code do the tests notice?

  python tests/support/mutations.py
  python tests/support/mutations.py --part=losses --count=20
  python tests/support/mutations.py --tests-of=COMMIT --log=before.jsonl
  python tests/support/mutations.py --log=now.jsonl --missed-in=before.jsonl

Changes are drawn by `mutants.draw` from the files of each part and made one at
a time in a copy of the tree, in which the tests that should notice are run,
quick ones first, until one fails. A part takes minutes; `make test` runs none
of this. Changes that change nothing are in mutants_excluded.json, each with its
reason.

Exit status: 0 all changes were noticed, 1 some were not.
"""

import argparse
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import mutants

ROOT = pathlib.Path(__file__).parents[2]
# Changes that change nothing: change -> reason.
EXCLUDED = json.loads(
  (ROOT / "tests" / "support" / "mutants_excluded.json").read_text()
)
_SEED = "mutations"
# A test that runs for so long has noticed: it would not end.
_TIMEOUT_SECS = 900
_FLAGS = (
  *("-x", "-q", "-n", "0", "--tb=no"),
  *("-p", "no:cacheprovider", "-m", "not slow and not long"),
)


class Part(NamedTuple):
  """Files, and the tests that should notice changes to them.

  Attributes:
    files: patterns below the root.
    tests: arguments of pytest, one process after another.
  """

  files: tuple[str, ...]
  tests: tuple[str, ...]


PARTS = {
  "hypergrad": Part(("metaaux/hypergrad/*.py",), ("tests/hypergrad",)),
  "losses": Part(
    ("metaaux/losses/__init__.py",),
    ("tests/losses", "tests/methods/maxl/test_maxl.py"),
  ),
  "kmeans": Part(
    ("metaaux/kmeans/*.py",), ("tests/kmeans", "tests/partitions")
  ),
  "simplex": Part(("metaaux/simplex.py",), ("tests/test_simplex.py",)),
  "methods": Part(
    (
      "metaaux/methods/*/*.py",
      "metaaux/methods/fine_tune.py",
      "metaaux/methods/single_task.py",
    ),
    (),  # see `tests_of`
  ),
  "batches": Part(
    ("metaaux/run/batches.py", "metaaux/run/opening.py"),
    (
      "tests/run/test_batches.py tests/run/test_stages.py "
      "tests/data/test_augment.py tests/data/test_unlabelled.py",
      "tests/test_train.py tests/test_evaluate.py tests/parallel/test_hosts.py",
    ),
  ),
  "checkpoints": Part(
    (
      "metaaux/run/checkpoints/format.py",
      "metaaux/run/checkpoints/writer.py",
      "metaaux/run/checkpoints/best.py",
    ),
    (
      "tests/run/checkpoints tests/run/test_durability.py",
      "tests/run/test_resume.py tests/run/test_stages.py "
      "tests/run/test_faults.py",
    ),
  ),
  "statistics": Part(
    (
      "metaaux/run/logs/rows.py",
      "metaaux/run/confidence_intervals.py",
      "experiments/results/__init__.py",
      "experiments/compare.py",
    ),
    (
      "tests/run/logs/test_rows.py "
      "tests/run/test_confidence_intervals.py "
      "tests/experiments/results tests/experiments/test_compare.py "
      "tests/run/test_durability.py tests/experiments/test_table.py "
      "tests/experiments/report/test_summary.py",
      "tests/experiments/papers tests/experiments/report/test_report.py",
      "tests/run/test_resume.py",
    ),
  ),
}


def tests_of(part: str, file: str) -> tuple[str, ...]:
  """Of a method those of its folder, then what holds for every method."""
  if PARTS[part].tests:
    return PARTS[part].tests
  folder, stem = file.split("/")[2], pathlib.PurePath(file).stem
  of_folder = {
    "reweighting": "tests/methods/reweighting tests/methods/arml/test_arml.py",
    "fine_tune.py": "tests/run/test_stages.py",
    "single_task.py": "tests/run/test_stages.py",
    "unlabelled": "tests/methods/unlabelled tests/run/test_stages.py",
  }
  own = sorted(ROOT.glob(f"tests/methods/{folder}/**/test_{stem}*.py"))
  found = " ".join(str(path.relative_to(ROOT)) for path in own)
  first = of_folder.get(folder, f"tests/methods/{folder}")
  return (
    *([found] if found else []),
    first,
    "tests/methods/test_predictions.py tests/methods/test_methods.py",
    "tests/methods/test_seeds.py tests/test_train.py "
    "tests/methods/test_batch_sizes.py",
  )


def copy_tree(folder: pathlib.Path, tests_of: str) -> None:
  """What git knows and does not ignore, with the tests of a commit.

  Args:
    folder: that is made.
    tests_of: a commit, or "" for the tests as they are.
  """
  command = "git ls-files -z --cached --others --exclude-standard"
  listed = subprocess.check_output(command.split(), cwd=ROOT, text=True)
  for name in filter(None, listed.split("\0")):
    source, target = ROOT / name, folder / name
    if source.is_file():
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(source, target)
  if tests_of:
    shutil.rmtree(folder / "tests")
    archive = subprocess.check_output(
      ["git", "archive", tests_of, "tests"], cwd=ROOT
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
  if (ROOT / ".cache").exists():
    (folder / ".cache").symlink_to((ROOT / ".cache").resolve())


def run_tests(
  folder: pathlib.Path, tests: Sequence[str], through: Sequence[str]
) -> str:
  """The first test that fails; "" if none does.

  Args:
    folder: the copy of the tree.
    tests: of `Part`.
    through: begins each command.
  """
  for process in tests:
    found = [
      str(pathlib.Path(path).relative_to(folder))
      for pattern in process.split()
      for path in sorted(glob.glob(str(folder / pattern)))
    ]
    if not found:
      continue
    command = [*through, sys.executable, "-m", "pytest", *_FLAGS, *found]
    try:
      done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECS,
      )
    except subprocess.TimeoutExpired:
      return f"{found[0]}: no end"
    if done.returncode:
      lines = done.stdout.splitlines()
      named = [x for x in lines if x.startswith(("FAILED", "ERROR"))]
      last = named or lines[-1:] or done.stderr.splitlines()[-1:] or ["?"]
      return last[0][:160]
  return ""


def drawn(part: str, count: int) -> list[mutants.Mutant]:
  """The changes of a part, without those that change nothing."""
  found = [
    mutant
    for pattern in PARTS[part].files
    for path in sorted(ROOT.glob(pattern))
    for mutant in mutants.of_file(
      str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    )
  ]
  return mutants.draw(found, count, f"{_SEED} {part}", EXCLUDED)


def _read(path: str) -> dict[str, str]:
  """Of earlier runs: change -> what noticed it."""
  if not path or not os.path.exists(path):
    return {}
  with open(path, encoding="utf-8") as file:
    rows = map(json.loads, file)
    return {row["change"]: row["noticed"] for row in rows}


def _try(
  folder: pathlib.Path,
  part: str,
  mutant: mutants.Mutant,
  flags: argparse.Namespace,
) -> str:
  path = folder / mutant.file
  text = path.read_text(encoding="utf-8")
  path.write_text(mutant.apply(text), encoding="utf-8")
  try:
    tests = tests_of(part, mutant.file)[: 1 if flags.quick else None]
    return run_tests(folder, tests, flags.through.split())
  finally:
    path.write_text(text, encoding="utf-8")


def main(argv: Sequence[str]) -> int:
  """Runs the command; returns its exit status."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--part", choices=PARTS, action="append")
  parser.add_argument("--count", type=int, default=9, help="of a part")
  parser.add_argument("--list", action="store_true", help="and run no test")
  parser.add_argument(
    "--quick", action="store_true", help="the first files of tests alone"
  )
  parser.add_argument(
    "--through", metavar="COMMAND", default="nice", help="starts the tests"
  )
  parser.add_argument("--tests-of", metavar="COMMIT", default="")
  parser.add_argument("--log", metavar="FILE", default="", help="goes on there")
  parser.add_argument("--missed-in", metavar="FILE", default="")
  flags = parser.parse_args(argv)
  parts = flags.part or list(PARTS)
  todo = [(part, each) for part in parts for each in drawn(part, flags.count)]
  if flags.list:
    for part, mutant in todo:
      print(f"{part}: {mutant.line} {mutant}")
    return 0
  known = _read(flags.log)
  known |= {k: v for k, v in _read(flags.missed_in).items() if v}
  with tempfile.TemporaryDirectory(prefix="mutations-") as name:
    folder = pathlib.Path(name)
    copy_tree(folder, flags.tests_of)
    for part, mutant in todo:
      if str(mutant) in known:
        continue
      began = time.time()
      noticed = _try(folder, part, mutant, flags)
      known[str(mutant)] = noticed
      seconds = round(time.time() - began)
      print(f"{part} {seconds}s {mutant}\n  {noticed or 'MISSED'}", flush=True)
      if flags.log:
        row = {"part": part, "change": str(mutant), "noticed": noticed}
        with open(flags.log, "a", encoding="utf-8") as file:
          file.write(json.dumps({**row, "seconds": seconds}) + "\n")
  return _report(todo, known)


def _report(
  todo: Sequence[tuple[str, mutants.Mutant]], known: dict[str, str]
) -> int:
  missed = 0
  for part in dict.fromkeys(part for part, _ in todo):
    noticed = [bool(known[str(m)]) for p, m in todo if p == part]
    missed += noticed.count(False)
    print(f"{part:12s} {sum(noticed):3d} of {len(noticed):3d} noticed")
  print(f"{'all':12s} {len(todo) - missed:3d} of {len(todo):3d} noticed")
  return 1 if missed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
