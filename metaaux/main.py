"""Trains and evaluates what a configuration file describes.

  python -m metaaux.main --config=configs/maxl_digits.py
  python -m metaaux.main --config=configs/maxl_digits.py:runlocal,method=single
  python -m metaaux.main --config=configs/maxl_digits.py --config.num_seeds=2

What follows the colon are arguments of the file, described in its docstring;
--config.KEY=VALUE overrides one key of the result. The same command again
resumes a run that was stopped, and prints the result of one that is finished.

Exit status: 0 finished; 2 the command, the config or the data is wrong; 3 the
training became non-finite; 4 another host of the run is gone; 143 or 130
stopped by SIGTERM or SIGINT, with a checkpoint written.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from metaaux import config as config_lib
from metaaux import messages
from metaaux.config import file as config_file
from metaaux.errors import NonFiniteError, UserError
from metaaux.run import cli, data_record
from metaaux.run import directory as run_directory
from metaaux.run.logs import confidence_intervals


def _parser() -> argparse.ArgumentParser:
  parser = cli.parser("metaaux.main", __doc__)
  parser.add_argument(
    "--config",
    metavar="FILE[:ARGUMENTS]",
    help="configuration file, a Python file that defines get_config()",
  )
  parser.add_argument(
    "--workdir",
    type=cli.path,
    metavar="DIR",
    help="run directory, for config.json, metrics.jsonl, checkpoints/ and "
    "result.json; by default runs/NAME-DIGEST, after the name of the file and "
    "the resulting config",
  )
  parser.add_argument(
    "--overwrite",
    action="store_true",
    help="removes the run that the workdir holds, and starts anew; leave it "
    "out to resume",
  )
  hosts = parser.add_argument_group(
    "several hosts", "the same command on each, docs/hosts.md"
  )
  hosts.add_argument(
    "--distributed",
    action="store_true",
    help="joins the hosts that Slurm (srun), a TPU or Open MPI knows of",
  )
  hosts.add_argument(
    "--coordinator",
    metavar="ADDRESS:PORT",
    help="of the first host, with a free port; for hosts that nothing knows of",
  )
  hosts.add_argument(
    "--num_hosts", metavar="N", type=int, help="how many there are"
  )
  hosts.add_argument(
    "--host", metavar="I", type=int, help="which one this is, from 0"
  )
  parser.add_argument(
    "--compilation_cache",
    metavar="DIR",
    default=os.environ.get(
      "JAX_COMPILATION_CACHE_DIR", os.path.join("~", ".cache", "metaaux", "xla")
    ),
    help="compiled programs, so that the next start is quicker; empty: none "
    "(%(default)s)",
  )
  keys = config_lib.flatten(config_lib.base())
  lines = [f"  --config.{key}={value!r}" for key, value in keys.items()]
  parser.epilog = "\n".join(
    ["keys and their defaults; a tuple is written 5,5:", *lines]
  )
  return parser


def default_workdir(config_path: str, digest: str) -> str:
  """runs/NAME-DIGEST, so that the same command finds the same run."""
  name = os.path.splitext(os.path.basename(config_path))[0]
  return os.path.join("runs", f"{name}-{digest[:8]}")


def _train(
  config: Any,
  workdir: str,
  flags: argparse.Namespace,
  received: Mapping[str, int],
) -> dict[str, Any] | None:
  """The result; None on a host that has nothing to print."""
  # JAX is imported only once the command is known to be right.
  import jax

  from metaaux import train
  from metaaux.parallel import hosts as hosts_lib
  from metaaux.run.logs import pictures

  several = _is_distributed(flags)
  if several:
    hosts_lib.connect(flags.coordinator, flags.num_hosts, flags.host)
  if flags.compilation_cache:
    folder = os.path.expanduser(flags.compilation_cache)
    try:
      os.makedirs(folder, exist_ok=True)
      jax.config.update("jax_compilation_cache_dir", folder)
    except OSError as error:
      messages.warn(f"no compilation cache in {folder}: {error.strerror}")
  try:
    with hosts_lib.joined() if several else contextlib.nullcontext():
      result = train.train_and_evaluate(
        config,
        workdir,
        overwrite=flags.overwrite,
        should_stop=lambda: bool(received),
      )
  except NonFiniteError as error:
    raise NonFiniteError(
      f"{error}; checkpoints written before that are kept in {workdir}"
    ) from error
  if not hosts_lib.is_first():
    return None
  for what, path in pictures.draw(workdir):
    print(f"{what}: {path}")
  return result


def _is_distributed(flags: argparse.Namespace) -> bool:
  """Whether this is one of several hosts.

  Raises:
    UserError: the flags say so by half.
  """
  given = {
    name: getattr(flags, name) for name in ("coordinator", "num_hosts", "host")
  }
  missing = [f"--{name}" for name, value in given.items() if value is None]
  if missing and len(missing) < len(given):
    raise UserError(
      f"{' and '.join(missing)} missing; several hosts need --coordinator, "
      "--num_hosts and --host, or --distributed alone"
    )
  if missing:
    return flags.distributed
  if not 0 <= flags.host < flags.num_hosts:
    raise UserError(
      f"--host={flags.host} is not one of 0 .. {flags.num_hosts - 1}, "
      f"which --num_hosts={flags.num_hosts} says that there are"
    )
  return True


def _run(argv: Sequence[str], received: Mapping[str, int]) -> None:
  flags, rest = _parser().parse_known_args(argv)
  overrides = config_file.pairs(rest)
  if not flags.config:
    raise UserError(
      "no --config; give a configuration file, e.g. "
      "--config=configs/maxl_digits.py (--help says more)"
    )
  config = config_file.load(flags.config, overrides)
  workdir = flags.workdir or default_workdir(
    config_file.split(flags.config, "--config")[0], config_lib.digest(config)
  )
  result = None
  # Of several hosts, only the first one needs to see the directory.
  if not (flags.overwrite or _is_distributed(flags)):
    result = data_record.finished(workdir, config)
  if result is None:
    result = _train(config, workdir, flags, received)
  if result is None:
    return
  figure = confidence_intervals.format_ci(result["mean"], result["ci95"])
  seeds = messages.count(len(result["per_seed"]), "seed")
  of = result.get("averaged_evaluations", 1)
  averaged = f", mean of the last {of} evaluations" if of > 1 else ""
  print(
    f"{result['method']} on {result['dataset']}: test {result['metric']} "
    f"{figure} % ({seeds}, {result['steps']} steps{averaged})"
  )
  if result.get("ci95_with_images") is not None:
    print(_with_images(result))
  print(os.path.join(workdir, run_directory.RESULT))


def _with_images(result: Mapping[str, Any]) -> str:
  """The interval that covers the test images, too."""
  half = confidence_intervals.format_ci(result["ci95_with_images"], None)
  images = messages.count(result["test_images"], "test image")
  seeds = "seeds and " if len(result["per_seed"]) > 1 else ""
  return f"± {half} over {seeds}{images}, as a sample of all there could be"


def main(argv: Sequence[str]) -> int:
  """Runs the command with these arguments; returns its exit status.

  From a notebook, too: an interrupt writes a checkpoint and ends the command,
  not the notebook.
  """
  with cli.listening() as received:
    return cli.status_of(lambda: _run(argv, received), received, prints=False)


def run() -> None:
  """Console entry point."""
  # As `python -m` does, so that both find code of one's own.
  if not sys.flags.safe_path and os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  # Until the process ends, so that a late signal does not spoil its status.
  received = cli.listen()
  status = cli.status_of(
    lambda: _run(sys.argv[1:], received), received, prints=False
  )
  if status == cli.EXIT_HOST:
    # JAX would wait at its exit for the host that is gone.
    os._exit(status)
  sys.exit(status)


if __name__ == "__main__":
  run()
