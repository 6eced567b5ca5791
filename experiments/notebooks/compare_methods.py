# %% [markdown]
# # All methods, compared
#
# Every method that runs on scikit-learn's 8x8 digits, on four problems: learned
# labels (MAXL), clusters (Meta-MTL), learned weights (ARML) and a big task that
# small ones start from (DAMTL). Each problem ends in a table of paired
# differences, and in a sentence that says whether anything is more than noise.
#
# These are the runs of `experiments/sweeps/digits_all_methods.py` at a tenth of
# their steps, three seeds each: enough to see how the comparison works, not for
# claims. The 31 runs take some minutes on two CPU cores; leave problems out of
# `PROBLEMS` for a shorter look.

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
# For networks this small a CPU is as good as anything; of several devices one
# is used.

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
# ## The runs
#
# A sweep file lists them. In a terminal `metaaux sweep` starts
# them in parallel; here they run one after another, in this process. A run is a
# config file with arguments.

# %%
from metaaux.experiments.sweep import runs as sweep_runs

RUNS = "runs/compare"
SEEDS = 3
PROBLEMS = ("maxl_digits", "meta_mtl_digits", "arml_digits", "damtl_digits")

keys = [("num_seeds", str(SEEDS)), ("eval_every", "10")]
if jax.device_count() > 1:
  keys.append(("parallel", "none"))
sweep = sweep_runs.load(
  f"{ROOT}/experiments/sweeps/digits_all_methods.py:runlocal", RUNS, keys
)
for run in sweep.runs:
  if sweep_runs.group_of(run) in PROBLEMS:
    print(run.spec)

# %% [markdown]
# `compare` trains the runs of a problem and shows the table and its answer. A
# run that is finished is not run again.

# %%
from metaaux.experiments import notebook, results, table
from metaaux.experiments.report import summary as report_summary

from metaaux import main


def train(problem: str) -> None:
  """Trains the runs of a problem, one after another."""
  for run in sweep.runs:
    if sweep_runs.group_of(run) == problem:
      here = run._replace(
        spec=f"{ROOT}/{run.spec}", workdir=os.path.relpath(run.workdir)
      )
      notebook.run(main.main, *sweep_runs.flags(here))


def compare(problem: str, baseline: str) -> None:
  """Trains what is left of a problem; its table and what to make of it."""
  if problem not in PROBLEMS:
    print(f"{problem} is left out")
    return
  train(problem)
  folder = f"{RUNS}/{problem}"
  notebook.run(
    table.main,
    f"--workdir={folder}",
    f"--baseline={baseline}",
    f"--output={folder}/table.md",
  )
  notebook.markdown(f"{folder}/table.md")
  found = results.load(folder)
  folders = [result["workdir"] for result in found]
  names = dict(zip(folders, results.labels(found), strict=True))
  for answer in report_summary.summarise(found, names, baseline).answers:
    print(answer.headline, *answer.sentences)


# %% [markdown]
# ## Learned labels: odd or even
#
# 100 labelled images; the auxiliary task has five classes for each parity.
# `human` takes the digits themselves, `kmeans` and `prototypical` clusters,
# `random` a class at random for each image, `maxl` learns its labels, and
# `no_entropy` is MAXL without its entropy term. `uniform` is the control:
# labels without content.

# %%
compare("maxl_digits", "uniform")

# %% [markdown]
# How accuracy grows, and what MAXL's labels look like. The title of the gallery
# says how much they say.

# %%
from metaaux.experiments import curves, labels

if "maxl_digits" in PROBLEMS:
  folder = f"{RUNS}/maxl_digits"
  notebook.run(
    curves.main,
    f"--workdir={folder}",
    f"--output={folder}/curves.png",
    "--title=odd or even, 100 labels",
  )
  notebook.picture(f"{folder}/curves.png", width=640)
  (maxl,) = (r for r in results.load(folder) if r["method"] == "maxl")
  notebook.run(
    labels.main,
    f"--workdir={maxl['workdir']}",
    f"--output={folder}/labels.png",
  )
  notebook.picture(f"{folder}/labels.png", width=800)

# %% [markdown]
# ## Clusters: the digit, from ten labels of each
#
# Meta-MTL makes its tasks of clusters of all images, labelled or not. The row
# with *permuted* clusters is the control: tasks of the same sizes whose images
# were shuffled. `fine_tune` starts from an autoencoder, self-training and
# co-training use pseudo-labels, `pta` several decoders.

# %%
compare("meta_mtl_digits", "single")

# %% [markdown]
# ## Learned weights: the digit, from five labels of each
#
# ARML learns how much each auxiliary task counts; equal weights (`uniform` in
# the name of the row) are the control. The others ask for agreement on
# unlabelled images.

# %%
compare("arml_digits", "single")

# %% [markdown]
# ## A big task beside small ones
#
# DAMTL starts the networks of small tasks from that of a big one, through soft
# masks. The baseline is `transfer`, plain fine-tuning from the same network:
# what the start alone is worth.

# %%
compare("damtl_digits", "transfer")

# %% [markdown]
# ## What to believe
#
# - An interval that holds zero: no difference is seen, which is not the same as
#   none. Three seeds see large differences only.
# - At a tenth of their steps some methods are unfinished. Where the accuracy in
#   training is far below 100 %, as the bars say, a row tells of speed.
# - With many rows one of twenty intervals leaves out zero by chance alone. The
#   sentence below a table says what is left after Holm's correction for that.
# - A gain over `single` is not evidence for what a method is about. Its control
#   is: `uniform` labels for MAXL, permuted clusters for Meta-MTL, equal weights
#   for ARML, fine-tuning for DAMTL.
# - At full length, with five seeds: `metaaux sweep
#   --sweep=digits_all_methods`; `docs/results` has tables
#   of longer runs.
#
# ## The report

# %% tags=["page"]
from metaaux.experiments import report

folder = f"{RUNS}/{PROBLEMS[0]}"
notebook.run(report.main, f"--workdir={folder}")
notebook.page(f"{folder}/report.html")
