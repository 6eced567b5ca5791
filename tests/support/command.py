"""Commands as users start them: real processes, with a config of a moment."""

import json
import os
import pathlib
import subprocess
import sys

import jax

ROOT = pathlib.Path(__file__).parents[2]

# For processes whose time goes into compiling, as conftest has it for tests;
# newer versions of JAX do not know the flag.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
if jax.__version_info__ < (0, 11):
  QUICK["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"

CONFIG = """
from metaaux import config as config_lib

def get_config(arg=""):
  arg = config_lib.parse_argument(arg, method="single", seeds=1)
  config = config_lib.base()
  config.method = arg.method
  config.num_seeds = arg.seeds
  config.labels_per_class = 24
  config.batch_size = 16
  config.num_steps = 6
  config.log_every = 2
  config.eval_every = 3
  config.checkpoint_every = 0
  config.parallel = "none"
  config.model.widths = (4,)
  config.model.kernels = (3,)
  config.model.hidden = 8
  return config
"""


def write_config(folder):
  """Path of the config file."""
  path = pathlib.Path(folder) / "tiny.py"
  path.write_text(CONFIG)
  return str(path)


def environment(*paths, **more):
  """Of a process that finds the package, and `paths` before anything else."""
  inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
  found = [*map(str, [*paths, ROOT]), *filter(None, inherited)]
  return {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "PYTHONPATH": os.pathsep.join(found),
    **more,
  }


def run(*flags, module="metaaux.main", cwd=None, env=None):
  """Starts the command and waits for its end."""
  return subprocess.run(
    [sys.executable, "-m", module, *flags],
    capture_output=True,
    text=True,
    cwd=cwd,
    env=env or environment(),
  )


def assert_same_result(workdir, reference):
  """result.json of both but for the seconds; what it holds."""
  found, expected = (
    json.loads((each / "result.json").read_text())
    for each in (workdir, reference)
  )
  for each in (found, expected):
    assert each.pop("seconds") > 0
  assert found == expected
  return found
