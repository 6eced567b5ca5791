"""Runs everything that a sweep file lists, and prints the tables of it.

  metaaux sweep --sweep=digits_all_methods
  metaaux sweep --sweep=FILE --launcher=local --workers=2
  metaaux sweep --sweep=FILE --launcher=slurm --gpus=1
  metaaux sweep --sweep=FILE --launcher=ray --address=HOST:PORT
  metaaux sweep --sweep=FILE --dry_run

A sweep file is a Python file with a function get_sweep(), which returns or
yields dicts such as

  {"config": "configs/maxl_digits.py", ":method": "single", "seed": 3}

":NAME" is an argument of the config file, any other key one of the config;
metaaux.config.space has axis, product, zip and chain to make them. What
follows the colon in --sweep=FILE:ARGUMENT is given to get_sweep, and
--config.KEY=VALUE sets a key in every run.

Each dict is one `python -m metaaux.main` with a run directory of its own,
WORKDIR/CONFIG/WHAT, and sweep.log in it. The directories are all that a sweep
knows: give the same command again, here or elsewhere, after Ctrl-C or a crash,
and it goes on where they are. Finished runs are skipped, stopped ones resumed,
those that another process holds are waited for, and failed ones are listed and
left alone without --retry. Ctrl-C lets every run write a checkpoint.

Exit status: 0 all runs are finished; 1 some are not; 2 the command or the sweep
is wrong; 143 or 130 stopped by SIGTERM or SIGINT.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from metaaux.config import file as config_file
from metaaux.errors import Stopped, UserError
from metaaux.run import cli, data_record

from .. import table
from . import drive as sweep_drive
from . import launcher as launcher_lib
from . import runs as sweep_runs
from . import state as sweep_state
from . import view as sweep_view
from .drive import Outcome
from .job import LOG, Job
from .launcher import Options
from .runs import Run, Sweep
from .state import FAILED, FINISHED

_SLURM = "--slurm."


def _parser() -> argparse.ArgumentParser:
  parser = cli.parser("metaaux sweep", __doc__)
  parser.add_argument(
    "--sweep",
    required=True,
    metavar="FILE[:ARGUMENT]",
    help="a Python file that defines get_sweep()",
  )
  parser.add_argument(
    "--workdir",
    type=cli.path,
    metavar="DIR",
    default="",
    help="folder of the runs (runs/NAME, after the sweep file)",
  )
  parser.add_argument(
    "--launcher",
    default="local",
    choices=launcher_lib.NAMES,
    help="local: processes on this machine; slurm: a job array, by submitit; "
    "ray: tasks on a Ray cluster; the last two need folders that all machines "
    "share (%(default)s)",
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=0,
    metavar="N",
    help="runs at once; 0: one for each core (local) or as many as there is "
    "room for (%(default)s)",
  )
  parser.add_argument(
    "--cores",
    type=int,
    default=0,
    metavar="N",
    help="of each run; 0: the cores of this machine split among the workers "
    "(local) or one. Figures may differ in their last digits with another "
    "number (%(default)s)",
  )
  parser.add_argument(
    "--gpus",
    type=int,
    default=0,
    metavar="N",
    help="of each run, with slurm and ray (%(default)s)",
  )
  parser.add_argument(
    "--retry", action="store_true", help="also start failed runs again"
  )
  parser.add_argument(
    "--dry_run",
    action="store_true",
    help="check every config, print the commands that would be started, and "
    "start none",
  )
  parser.add_argument(
    "--address",
    default="auto",
    help="of the Ray cluster; auto: RAY_ADDRESS, or the one on this machine "
    "(%(default)s)",
  )
  parser.epilog = (
    "--slurm.KEY=VALUE sets a parameter of submitit's executor, such as\n"
    "slurm_partition, timeout_min (1440) or mem_gb; --slurm.cluster=local\n"
    "runs the jobs on this machine, to try it without Slurm."
  )
  return parser


def _slurm(item: str) -> tuple[str, str | int]:
  key, equals, text = item.removeprefix(_SLURM).partition("=")
  if not equals:
    raise UserError(f"{item} needs a value: {item}=...")
  return key, int(text) if text.isdecimal() else text


def _check(runs: Sequence[Run]) -> None:
  """Raises UserError if any run has a wrong config or another's directory."""
  for run in runs:
    config = sweep_runs.config_of(run)
    try:
      data_record.finished(run.workdir, config, own_code=False)
    except UserError as error:
      raise UserError(f"run {run.name}: {error}") from None


def _start(
  flags: argparse.Namespace,
  runs: Sequence[Run],
  folder: str,
  slurm: Mapping[str, str | int],
  received: Mapping[str, int],
) -> Outcome:
  """Starts what is left of the runs, and waits for it."""
  name = os.path.basename(folder)
  options = Options(
    name, folder, flags.workers, flags.cores, flags.gpus, flags.address, slurm
  )
  launcher = launcher_lib.open_launcher(flags.launcher, options)
  try:
    jobs = {
      run.name: Job(
        tuple(sweep_runs.flags(run)), run.workdir, os.getcwd(), launcher.cores
      )
      for run in runs
    }
    with sweep_view.opened(name) as show:
      return sweep_drive.drive(
        launcher, jobs, show, received, retry=flags.retry
      )
  finally:
    launcher.close()


def _report(sweep: Sweep, outcome: Outcome, retry_hint: str) -> None:
  """Prints the tables of finished runs, and what there is of the others."""
  for group in dict.fromkeys(map(sweep_runs.group_of, sweep.runs)):
    runs = [run for run in sweep.runs if sweep_runs.group_of(run) == group]
    if any(outcome.states[run.name].status == FINISHED for run in runs):
      folder = os.path.relpath(os.path.dirname(runs[0].workdir))
      command = [f"--workdir={folder}", *sweep.table.get(group, ())]
      print(f"\nmetaaux table {shlex.join(command)}", flush=True)
      table.main(command)
  for run in sweep.runs:
    state = outcome.states[run.name]
    if state.status == FINISHED:
      continue
    log = os.path.join(os.path.relpath(run.workdir), LOG)
    note = outcome.lost.get(run.name) or state.note
    said = [state.status, run.name, note, f"({log})"]
    print(": ".join(filter(None, said[:3])), said[3], file=sys.stderr)
  if any(state.status == FAILED for state in outcome.states.values()):
    print(retry_hint, file=sys.stderr)


def _run(argv: Sequence[str], received: Mapping[str, int]) -> bool:
  """Whether all runs are finished, or none were to be started."""
  flags, rest = _parser().parse_known_args(argv)
  slurm = dict(_slurm(item) for item in rest if item.startswith(_SLURM))
  rest = [item for item in rest if not item.startswith(_SLURM)]
  for name in ("workers", "cores", "gpus"):
    value = getattr(flags, name)
    if value < 0:
      raise UserError(
        f"--{name}={value} is out of range; it must be at least 0"
      )
  stem = os.path.splitext(
    os.path.basename(config_file.split(flags.sweep, "--sweep")[0])
  )[0]
  folder = os.path.abspath(flags.workdir or os.path.join("runs", stem))
  sweep = sweep_runs.load(flags.sweep, folder, sweep_runs.pairs(rest))
  _check(sweep.runs)
  states = {run.name: sweep_state.read(run.workdir) for run in sweep.runs}
  todo = sweep_drive.to_start(states, retry=flags.retry)
  head = f"{len(states)} runs in {os.path.relpath(folder)}"
  print(
    f"{head}: {sweep_state.count(states.values())}",
    file=sys.stderr if flags.dry_run else sys.stdout,
    flush=True,
  )
  if flags.dry_run:
    for run in sweep.runs:
      if run.name in todo:
        print(sweep_runs.shown(run))
    return True
  outcome = Outcome(states, {})
  if todo:
    outcome = _start(flags, sweep.runs, folder, slurm, received)
  if received:
    raise Stopped(
      f"stopped ({sweep_state.count(outcome.states.values())}); the same "
      "command goes on"
    )
  _report(sweep, outcome, "--retry starts failed runs again")
  return all(state.status == FINISHED for state in outcome.states.values())


def main(argv: Sequence[str]) -> int:
  """Runs the sweep; returns the exit status."""
  done: list[bool] = []
  with cli.listening() as received:
    status = cli.status_of(lambda: done.append(_run(argv, received)), received)
  return status or int(not all(done))
