"""Trains and evaluates what a configuration file describes.

  metaaux --config=maxl_digits
  metaaux --config=configs/maxl_digits.py:runlocal,method=single
  metaaux --config=my_config.py --config.num_seeds=2 --workdir=runs/mine

The file is one of one's own, or comes with the package: NAME is short for
configs/NAME.py. What follows the colon are arguments of the file, described in
its docstring; --config.KEY=VALUE overrides one key of the result. The same
command again resumes a run that was stopped, and prints the result of one that
is finished. From a checkout, python -m metaaux.main --config=configs/NAME.py
does the same.

Exit status: 0 finished; 2 the command, the config or the data is wrong; 3 the
training became non-finite; 4 another host of the run is gone; 143 or 130
stopped by SIGTERM or SIGINT, with a checkpoint written.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from metaaux import config as config_lib
from metaaux import messages
from metaaux.config import file as config_file
from metaaux.config import flags as flags_lib
from metaaux.config import help as config_help
from metaaux.config.flags import Values
from metaaux.errors import NonFiniteError, UserError
from metaaux.run import cli, confidence_intervals, data_record
from metaaux.run import directory as run_directory

# What --help puts above the flags.
_FLAGS = "flags"
_HOSTS = "several hosts, the same command on each (docs/hosts.md)"
_LOGGING = "absl.logging"


def _define(values: Values) -> None:
  """Adds the flags of this command, but for --config."""

  def text(name: str, what: str, section: str, **more: Any) -> None:
    parser = flags_lib.Parser(flag=name, convert=more.pop("convert", str))
    flags.DEFINE(
      parser, name, more.pop("default", None), what, values, None, section
    )

  def number(name: str, what: str) -> None:
    flags.DEFINE_integer(
      name, None, what, flag_values=values, module_name=_HOSTS
    )

  def switch(name: str, what: str, section: str = _FLAGS, **more: str) -> None:
    flags.DEFINE_boolean(
      name, False, what, flag_values=values, module_name=section, **more
    )

  values.register_flag_by_module(_FLAGS, values[flags_lib.CONFIG])
  text(
    "workdir",
    "run directory, for config.json, metrics.jsonl, checkpoints/ and "
    "result.json; by default runs/NAME-DIGEST, after the name of the file and "
    "the resulting config",
    _FLAGS,
    convert=cli.path,
  )
  switch(
    "overwrite",
    "removes the run that the workdir holds, and starts anew; leave it out to "
    "resume",
  )
  text(
    "compilation_cache",
    "folder of compiled programs, so that the next start is quicker; empty: "
    "none",
    _FLAGS,
    default=os.environ.get(
      "JAX_COMPILATION_CACHE_DIR", os.path.join("~", ".cache", "metaaux", "xla")
    ),
  )
  switch("help", "shows this", short_name="h")
  switch("helpfull", "shows all keys with their defaults, and absl's own flags")
  switch(
    "distributed",
    "joins the hosts that Slurm (srun), a TPU or Open MPI knows of",
    _HOSTS,
  )
  text(
    "coordinator",
    "ADDRESS:PORT of the first host, with a free port; for hosts that nothing "
    "knows of",
    _HOSTS,
  )
  number("num_hosts", "how many there are")
  number("host", "which one this is, from 0")
  # How the libraries log is the process's; the flags for that are absl's own.
  for flag in flags.FLAGS.get_flags_for_module(_LOGGING):
    values[flag.name] = flag
    values.register_flag_by_module(_LOGGING, flag)


def _parse(argv: Sequence[str]) -> Values:
  """The flags of a command line.

  Raises:
    UserError: it is wrong.
  """
  values, argv = flags_lib.open_values(argv, config_file.read)
  _define(values)
  flags_lib.parse(values, argv)
  return values


def _help(values: Values) -> str:
  full = values.helpfull
  sections = [_FLAGS, _HOSTS, *([_LOGGING] if full else [])]
  return "\n".join(
    [
      __doc__.strip(),
      *map(values.module_help, sections),
      "\n--flagfile=FILE reads further flags from a file, one in each line.\n",
      config_help.text(values.config, full=full),
    ]
  )


def default_workdir(config_path: str, digest: str) -> str:
  """runs/NAME-DIGEST, so that the same command finds the same run."""
  name = os.path.splitext(os.path.basename(config_path))[0]
  return os.path.join("runs", f"{name}-{digest[:8]}")


def _train(
  config: Any,
  workdir: str,
  values: Values,
  received: Mapping[str, int],
) -> dict[str, Any] | None:
  """The result; None on a host that has nothing to print."""
  # JAX is imported only once the command is known to be right.
  import jax

  from metaaux import train
  from metaaux.parallel import hosts as hosts_lib
  from metaaux.run.logs import pictures

  several = _is_distributed(values)
  if several:
    hosts_lib.connect(values.coordinator, values.num_hosts, values.host)
  if values.compilation_cache:
    folder = os.path.expanduser(values.compilation_cache)
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
        overwrite=values.overwrite,
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


def _is_distributed(values: Values) -> bool:
  """Whether this is one of several hosts.

  Raises:
    UserError: the flags say so by half.
  """
  given = {
    name: getattr(values, name) for name in ("coordinator", "num_hosts", "host")
  }
  missing = [f"--{name}" for name, value in given.items() if value is None]
  if missing and len(missing) < len(given):
    raise UserError(
      f"{' and '.join(missing)} missing; several hosts need --coordinator, "
      "--num_hosts and --host, or --distributed alone"
    )
  if missing:
    return values.distributed
  if not 0 <= values.host < values.num_hosts:
    raise UserError(
      f"--host={values.host} is not one of 0 .. {values.num_hosts - 1}, "
      f"which --num_hosts={values.num_hosts} says that there are"
    )
  return True


def _run(argv: Sequence[str], received: Mapping[str, int]) -> None:
  values = _parse(argv)
  if values.help or values.helpfull:
    print(_help(values))
    return
  config = values.config
  if config is None:
    raise UserError(
      "no --config; give a configuration file, e.g. "
      "--config=configs/maxl_digits.py (--help says more)"
    )
  spec = config_flags.get_config_filename(values[flags_lib.CONFIG])
  workdir = values.workdir or default_workdir(
    config_file.split(spec, "--config")[0], config_lib.digest(config)
  )
  result = None
  # Of several hosts, only the first one needs to see the directory.
  if not (values.overwrite or _is_distributed(values)):
    result = data_record.finished(workdir, config)
  if result is None:
    result = _train(config, workdir, values, received)
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


def run(argv: Sequence[str] | None = None) -> None:
  """Runs the command as the program of this process, and ends it.

  Args:
    argv: arguments; None: those that the process was started with.
  """
  cli.find_code_here()
  # Until the process ends, so that a late signal does not spoil its status.
  received = cli.listen()

  def parsed(argv: list[str]) -> list[str]:
    # Flags of other modules keep their defaults: a command has its own values.
    flags.FLAGS(argv[:1])
    return argv

  def started(argv: list[str]) -> int:
    # absl's own start would show what libraries log for information, too.
    logging.set_verbosity(logging.WARNING)
    status = cli.status_of(
      lambda: _run(argv[1:], received), received, prints=False
    )
    if status == cli.EXIT_HOST:
      # JAX would wait at its exit for the host that is gone.
      os._exit(status)
    return status

  argv = sys.argv[1:] if argv is None else argv
  app.run(started, argv=[sys.argv[0], *argv], flags_parser=parsed)


if __name__ == "__main__":
  run()
