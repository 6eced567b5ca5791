"""Trains and evaluates what a configuration file describes.

  python -m metaaux.main --config=configs/maxl_digits.py
  python -m metaaux.main --config=configs/maxl_digits.py:runlocal,method=single
  python -m metaaux.main --config=configs/maxl_digits.py --config.num_seeds=2

What follows the colon are arguments of the file, described in its docstring;
--config.KEY=VALUE overrides one key of the result. The same command again
resumes a run that was stopped, and prints the result of one that is finished.

Exit status: 0 finished; 2 the command, the config or the data is wrong; 3 the
training became non-finite; 143 or 130 stopped by SIGTERM or SIGINT, with a
checkpoint written.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from metaaux import cli, config_file, metrics, rundir
from metaaux import config as config_lib
from metaaux.errors import NonFiniteError, UserError


def _parser() -> argparse.ArgumentParser:
  parser = cli.parser("metaaux.main", __doc__)
  parser.add_argument(
    "--config",
    metavar="FILE[:ARGUMENTS]",
    help="configuration file, a Python file that defines get_config()",
  )
  parser.add_argument(
    "--workdir",
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
) -> dict[str, Any]:
  # JAX is imported only once the command is known to be right.
  import jax

  from metaaux import pictures, train

  if flags.compilation_cache:
    folder = os.path.expanduser(flags.compilation_cache)
    try:
      os.makedirs(folder, exist_ok=True)
      jax.config.update("jax_compilation_cache_dir", folder)
    except OSError as error:
      metrics.warn(f"no compilation cache in {folder}: {error.strerror}")
  try:
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
  for what, path in pictures.draw(workdir):
    print(f"{what}: {path}")
  return result


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
    flags.config.partition(":")[0], config_lib.digest(config)
  )
  result = None if flags.overwrite else rundir.finished(workdir, config)
  if result is None:
    result = _train(config, workdir, flags, received)
  figure = metrics.format_ci(result["mean"], result["ci95"])
  print(
    f"{result['method']} on {result['dataset']}: test {result['metric']} "
    f"{figure} % ({len(result['per_seed'])} seeds, {result['steps']} steps)"
  )
  print(os.path.join(workdir, rundir.RESULT))


def main(argv: Sequence[str]) -> int:
  """Runs the command with these arguments; returns its exit status."""
  received = cli.listen()
  return cli.status_of(lambda: _run(argv, received), received)


def run() -> None:
  """Console entry point."""
  sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
  run()
