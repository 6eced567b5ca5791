"""Trains and evaluates what a configuration file describes.

  python -m metaaux.main --config=configs/maxl_digits.py
  python -m metaaux.main --config=configs/maxl_cifar100.py:runlocal
  python -m metaaux.main --config=configs/maxl_digits.py --config.num_seeds=2

What follows the colon are arguments of the file, described in its docstring;
--config.KEY=VALUE overrides one key of the result. The same command again
resumes a run that was stopped, and prints the result of one that is finished.

Exit status: 0 finished; 2 the command, the config or the data is wrong; 3 the
training became non-finite; 143 or 130 stopped by SIGTERM or SIGINT, with a
checkpoint written.
"""

import os
import signal
import sys
from collections.abc import Sequence

from absl import app, flags, logging
from ml_collections import config_flags

from metaaux import config as config_lib
from metaaux.errors import NonFiniteError, Stopped, UserError

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Configuration file, with :arguments.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Run directory: config.json, metrics.jsonl, checkpoints/, result.json. By "
  "default runs/NAME-DIGEST, by the name of the config file and its content.",
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Start anew in a workdir that already holds a run."
)
_CACHE = flags.DEFINE_string(
  "compilation_cache",
  os.path.join("~", ".cache", "metaaux", "xla"),
  "Folder of compiled programs, which a later start reads; empty: none.",
)

EXIT_USAGE, EXIT_NON_FINITE = 2, 3


def _fail(error: BaseException | str, status: int) -> int:
  """One line on stderr, whatever the error holds."""
  text = " ".join(str(error).split()) or type(error).__name__
  print(f"error: {text}", file=sys.stderr)
  return status


def _parse_flags(argv: Sequence[str]) -> list[str]:
  try:
    rest = flags.FLAGS(argv)
    if rest[1:]:
      raise UserError(
        f"unexpected argument {rest[1]!r}; flags are written --name=value"
      )
    if _CONFIG.value is None and not flags.FLAGS["help"].value:
      raise UserError(
        "no --config; give a configuration file, e.g. "
        "--config=configs/maxl_digits.py (--help says more)"
      )
    return rest
  except Exception as error:  # A config file is a program; anything may fail.
    sys.exit(_fail(_explain(error), EXIT_USAGE))


def _explain(error: Exception) -> str:
  """A user's words for what ml_collections and absl raise."""
  if isinstance(error, (UserError, flags.Error)):
    return str(error)
  if isinstance(error, FileNotFoundError):
    return f"config file not found: {error.filename or error}"
  if isinstance(error, (AttributeError, KeyError)):
    return f"config key is unknown: {error.args[0] if error.args else error}"
  return f"the config cannot be loaded: {type(error).__name__}: {error}"


def default_workdir(config_path: str, digest: str) -> str:
  """runs/NAME-DIGEST, so that the same command finds the same run."""
  name = os.path.splitext(os.path.basename(config_path))[0]
  return os.path.join("runs", f"{name}-{digest[:8]}")


def _listen() -> dict[str, int]:
  """Remembers the first SIGTERM or SIGINT; a second one ends at once."""
  received: dict[str, int] = {}

  def remember(number: int, frame: object) -> None:
    del frame
    received["signal"] = number
    for each in (signal.SIGTERM, signal.SIGINT):
      signal.signal(each, signal.SIG_DFL)

  for each in (signal.SIGTERM, signal.SIGINT):
    signal.signal(each, remember)
  return received


def main(argv: Sequence[str]) -> int:
  """Runs the command; returns its exit status."""
  del argv
  logging.set_verbosity(logging.WARNING)
  received = _listen()
  # JAX is imported only once the command is known to be right.
  import jax

  from metaaux import metrics, train

  config = _CONFIG.value
  if _CACHE.value:
    jax.config.update(
      "jax_compilation_cache_dir", os.path.expanduser(_CACHE.value)
    )
  path = flags.FLAGS["config"].config_filename
  workdir = _WORKDIR.value
  try:
    config_lib.validate(config)
    workdir = workdir or default_workdir(path, config_lib.digest(config))
    result = train.train_and_evaluate(
      config,
      workdir,
      overwrite=_OVERWRITE.value,
      should_stop=lambda: bool(received),
    )
  except UserError as error:
    return _fail(error, EXIT_USAGE)
  except NonFiniteError as error:
    return _fail(f"{error}; the last checkpoint is kept", EXIT_NON_FINITE)
  except Stopped as error:
    print(error, file=sys.stderr)
    return 128 + received["signal"]
  figure = metrics.format_ci(result["mean"], result["ci95"])
  print(
    f"{result['method']} on {result['dataset']}: test {result['metric']} "
    f"{figure} % ({len(result['per_seed'])} seeds, {result['steps']} steps)"
  )
  print(os.path.join(workdir, "result.json"))
  return 0


def run() -> None:
  """Console entry point."""
  app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
  run()
