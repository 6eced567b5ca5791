# %% [markdown]
# # MAXL on CIFAR-100
#
# A classifier learns the 20 superclasses of CIFAR-100. Beside them it predicts
# auxiliary labels, five for each superclass, that a second network makes up;
# this label generator is trained so that a step on its labels lowers the loss
# on the 20 (MAXL: Liu, Davison and Johns, NeurIPS 2019). Do labels that a
# network makes up help? This notebook trains MAXL beside two controls, draws
# the curves, shows which images got which labels, and compares by seed.
#
# On a GPU or TPU it is the paper's VGG-16 for a tenth of the paper's 200 epochs
# (not yet run there). On a CPU it is a small network, 10,000 images and a few
# hundred steps: some minutes, and far from the paper's accuracy. Without
# CIFAR-100 it is 8x8 digits, and some seconds.

# %% [markdown]
# ## Install
#
# Where metaaux is installed already, as after `pip install -e '.[report]'` in
# its repository, leave `REPOSITORY` empty. On Colab set it to the git address
# of the repository, or to the path of a copy of it. If pip replaces JAX,
# restart the session and run the cell again; for GPU or TPU install the
# matching JAX after that, `jax[cuda12]` or `jax[tpu]`, and restart once more.

# %%
import importlib.util
import os
import subprocess
import sys

# On Colab: the git address of metaaux, or the path of a copy of it.
REPOSITORY = ""

if REPOSITORY:
  folder = REPOSITORY
  if not os.path.isdir(folder):
    folder = "metaaux-repository"
    if not os.path.isdir(folder):
      clone = ["git", "clone", "--depth=1", REPOSITORY, folder]
      subprocess.run(clone, check=True)
  folder = os.path.abspath(folder)
  install = ["-m", "pip", "install", "--quiet", "--editable"]
  subprocess.run([sys.executable, *install, f"{folder}[report]"], check=True)
  # This session does not see a package that is installed as editable.
  sys.path.insert(0, folder)
  importlib.invalidate_caches()
elif importlib.util.find_spec("metaaux") is None:
  sys.exit(
    "metaaux is not installed; set REPOSITORY above, or run "
    "pip install -e '.[report]' in its repository"
  )

# %% [markdown]
# ## Devices
#
# On several devices the batch is split among them, and they train as one would.

# %%
import pathlib

import jax

import metaaux

# Holds configs/ beside the package.
ROOT = pathlib.Path(metaaux.__file__).parents[1]
ON_CPU = jax.default_backend() == "cpu"
kind = jax.devices()[0].device_kind
print(f"metaaux {metaaux.__version__}, JAX {jax.__version__}")
print(f"{jax.device_count()} x {kind}")
if ON_CPU:
  print("no accelerator; on Colab choose one in Runtime > Change runtime type")

# %% [markdown]
# ## Data
#
# CIFAR-100 is read through TensorFlow Datasets from `TFDS_DATA_DIR`, or
# `~/tensorflow_datasets`. If it is not there, it is downloaded and prepared
# once, which needs TensorFlow; Colab has it. Where that is not possible, the
# cell says why, and the rest goes on with scikit-learn's digits: odd or even is
# the primary task, and the pictures and tables are of the same kind.

# %%
from metaaux.data import sources
from metaaux.errors import UserError

DATASET = "tfds:cifar100"
try:
  sources.load(DATASET, "test[:1]")
  print("CIFAR-100 is there")
except UserError as error:
  print(f"{error}\n\nDigits are taken instead.")
  DATASET = "digits"

# %% [markdown]
# ## Config
#
# A config file has the whole recipe, and `--config.KEY=VALUE` changes one key
# of it. All methods get the same images, so that they can be compared: where
# MAXL holds a tenth of the training images out for its generator, the others
# leave them out, too.
#
# `RUNS` is where everything is written. On Colab choose a folder on a mounted
# Drive, and a session that ends costs nothing: the same cells go on from the
# last checkpoint.

# %%
from metaaux import config as config_lib
from metaaux.config import file as config_file

RUNS = f"runs/{DATASET.rpartition(':')[2]}"
SEEDS = 3
EPOCHS = 20  # on an accelerator; the paper has 200

if DATASET == "digits":
  FILE, ARGUMENTS = "maxl_digits.py", "runlocal,"
  KEYS = {}
elif ON_CPU:
  FILE, ARGUMENTS = "maxl_cifar100.py", "runlocal,"
  KEYS = {
    "model.name": "convnet",
    "model.widths": "16,32",
    "model.hidden": 64,
    "batch_size": 32,
    "num_steps": 240,
    "eval_every": 40,
  }
else:
  FILE, ARGUMENTS = "maxl_cifar100.py", ""
  EPOCH = 450  # steps of 100 images, of the 45,000 that are not held out
  KEYS = {
    "meta_fraction": 0.1,
    "batch_size": 100 // jax.device_count() * jax.device_count(),
    "num_steps": EPOCHS * EPOCH,
    "eval_every": EPOCH,
    "checkpoint_every": EPOCH,
    "optimizer.decay_every": EPOCHS * EPOCH // 4,
    "generator.optimizer.decay_every": EPOCHS * EPOCH // 4,
  }
KEYS["num_seeds"] = SEEDS
OVERRIDES = [f"--config.{key}={value}" for key, value in KEYS.items()]


def file_of(method: str) -> str:
  """The config file with its arguments."""
  return f"{ROOT}/configs/{FILE}:{ARGUMENTS}method={method}"


config = config_file.load(file_of("maxl"), OVERRIDES)
defaults = config_lib.flatten(config_lib.base())
for key, value in config_lib.flatten(config).items():
  if value != defaults.get(key):
    print(f"{key} = {value!r}")

# %% [markdown]
# ## Training
#
# `single` learns the primary task alone. `uniform` has an auxiliary task whose
# labels say nothing, since all five are equally likely: the control for
# whatever a second head does by merely being there. `maxl` has the generated
# labels.
#
# Each is what `python -m metaaux.main --config=... --workdir=...` does. A run
# that is finished only prints its result; one that was interrupted goes on.
# Interrupting this cell writes a checkpoint first. Warnings are worth reading:
# they say when the labels carry nothing.

# %%
from metaaux.experiments import notebook

from metaaux import main

METHODS = ("single", "uniform", "maxl")
for method in METHODS:
  notebook.run(
    main.main,
    f"--config={file_of(method)}",
    *OVERRIDES,
    f"--workdir={RUNS}/{method}",
  )

# %% [markdown]
# ## Curves
#
# Test accuracy, mean of the seeds with its 95% interval. Steps are equal, time
# is not: a step of MAXL costs several of the others.

# %%
from metaaux.experiments import curves

notebook.run(
  curves.main,
  f"--workdir={RUNS}",
  f"--output={RUNS}/curves.png",
  f"--title=MAXL and its controls on {DATASET}",
)
notebook.picture(f"{RUNS}/curves.png", width=640)

# %% [markdown]
# ## The labels
#
# Test images of the largest classes at the label that the generator finds
# likeliest for them. Look at the title first. Where the labels say next to
# nothing, the likeliest one is so by a hair: rows may look sorted, by colour
# for instance, and yet the labels tell the other network next to nothing.

# %%
from metaaux.experiments import labels

notebook.run(
  labels.main, f"--workdir={RUNS}/maxl", f"--output={RUNS}/labels.jpg"
)
notebook.picture(f"{RUNS}/labels.jpg", width=800)

# %% [markdown]
# ## The comparison
#
# Against `uniform`, paired by seed: a seed fixes the labelled images, the
# initial weights and the batches of all methods. A difference whose interval
# holds zero is not seen.

# %%
from metaaux.experiments import table

notebook.run(
  table.main,
  f"--workdir={RUNS}",
  "--baseline=uniform",
  f"--output={RUNS}/table.md",
)
notebook.markdown(f"{RUNS}/table.md")

# %% [markdown]
# ## What to believe
#
# - MAXL above `single` is no evidence that labels were learned. `uniform` is
#   the control: it has the second head and the second loss, and labels without
#   content.
# - *Label information* is the share of what the labels could say beyond the
#   primary label. Near 0 they are uniform (or all images of a class share one),
#   whatever the gallery looks like.
# - Where they say next to nothing and an interval leaves out zero all the same,
#   the content of the labels is not the cause. With three seeds and a few
#   hundred steps it happens.
# - Three seeds see large differences only. Before a claim, raise `SEEDS`.
# - A few epochs say nothing about 200. In the runs that `docs/results` has,
#   MAXL's labels (generator by Adam at 1e-3) stay close to uniform.
#
# ## The report
#
# All of it on one page that needs no network: the answer, the curves, maps of
# the features, galleries, the configs and the commands that repeat the runs.

# %% tags=["page"]
from metaaux.experiments import report

notebook.run(report.main, f"--workdir={RUNS}", "--baseline=uniform")
notebook.page(f"{RUNS}/report.html")

# %% [markdown]
# ## Further
#
# - Other methods: add `human`, `random`, `kmeans`, `prototypical` or
#   `no_entropy` to `METHODS`.
# - The whole recipe: `EPOCHS = 200` on an accelerator, with `RUNS` on a Drive.
# - What the official code does differently: `ARGUMENTS = "variant=code,"`, see
#   `docs/maxl.md`.
