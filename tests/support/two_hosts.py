"""Two hosts of two devices each: processes on this machine."""

import contextlib
import os
import socket
import subprocess
import sys

import command
import numpy as np
import tiny

from metaaux import data

CONFIG = """
import tiny

def get_config(arg=""):
  return tiny.config(method=arg, num_seeds=2, num_steps=8, log_every=2,
                     eval_every=4, checkpoint_every=2, parallel="auto",
                     **SETTINGS)
"""
# The smallest networks for those that make test trains.
SMALL = {"model.widths": (4,), "model.kernels": (3,)}
SETTINGS = {
  "single": SMALL,
  "maxl": SMALL,
  # A stage before the last one, and clusters that are computed between them.
  "meta_mtl": {
    "partition.labels": "kmeans",
    "embedding.name": "acai",
    "embedding.width": 4,
    "embedding.num_steps": 4,
    "embedding.batch_size": 16,
  },
  "damtl": {"damtl.auxiliary_steps": 4},
}


def settings_of(method, **changes):
  return tiny.config(
    method=method,
    num_seeds=2,
    num_steps=8,
    log_every=2,
    eval_every=4,
    checkpoint_every=2,
    **SETTINGS.get(method, {}),
    **changes,
  )


def write_config(folder, method):
  path = folder / "hosts.py"
  path.write_text(CONFIG.replace("SETTINGS", repr(SETTINGS.get(method, {}))))
  return f"--config={path}:{method}"


def data_of_host(split):
  """Images that are of the host which asks, as of copies that differ."""
  rng = np.random.default_rng(len(split))
  images = rng.integers(0, 256, (400, 8, 8, 1), dtype=np.uint8)
  images[0] = int(os.environ["SLURM_PROCID"])
  labels = np.arange(400, dtype=np.int32) % 2
  return data.Source(images, {"2": labels}, {"2": ("even", "odd")})


# The command, to which a host that is silent for some seconds is dead.
IMPATIENT = """
import sys
from metaaux import main
from metaaux.parallel import hosts

hosts.PATIENCE_SECS = 10
sys.exit(main.main(sys.argv[1:]))
"""


@contextlib.contextmanager
def started(
  folder, *flags, joining=None, count=2, program=("-m", "metaaux.main")
):
  """The command on `count` hosts; killed at the end if they still run."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  tests = command.ROOT / "tests" / "support"
  processes = []
  for host in range(count):
    flags_of_host = (
      f"--coordinator=localhost:{port}",
      f"--num_hosts={count}",
      f"--host={host}",
    )
    more = {}
    if joining is not None:
      flags_of_host, more = joining(host)
    processes.append(
      subprocess.Popen(
        [
          sys.executable,
          *program,
          f"--workdir={folder / 'run'}",
          f"--compilation_cache={folder / 'cache'}",
          *flags_of_host,
          *flags,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=command.environment(
          tests, JAX_NUM_CPU_DEVICES="2", **command.QUICK, **more
        ),
      )
    )
  try:
    yield processes
  finally:
    for process in processes:
      process.kill()
      process.communicate()


def ends(processes):
  """Statuses, standard outputs and error outputs, when all have ended."""
  texts = [process.communicate(timeout=300) for process in processes]
  outs, errors = zip(*texts, strict=True)
  return [process.returncode for process in processes], outs, errors


def by_slurm(host):
  """Flags and variables of a host that srun has started."""
  return ("--distributed",), {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": str(host),
    "SLURM_LOCALID": str(host),
  }
