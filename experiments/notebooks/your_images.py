# %% [markdown]
# # MAXL on your own images
#
# A folder with one sub-folder of images for each class is all it takes. The
# classes are the primary task, and each gets five auxiliary classes, for which
# MAXL makes up labels (Liu, Davison and Johns, NeurIPS 2019). The notebook
# brings the images to one size, trains MAXL beside its controls, shows curves,
# labels and mistakes, and writes a report.
#
# Without a folder of yours it makes one of two photographs, cut into small
# squares: is it a temple or a flower? On a CPU that takes some minutes.

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
# ## Images
#
# `FOLDER` holds a sub-folder for each class, or `train/` and `test/` with these
# in them; without `test/` a fifth of each class is kept for testing. On Colab
# upload a zip and unpack it, or mount a Drive. `SIDE` is the size that the
# network sees. `RUNS` is where everything is written; choose another for other
# images.

# %%
FOLDER = ""  # "" makes a folder of two photographs
SIDE = 16
RUNS = "runs/images"

# %% [markdown]
# Two photographs that scikit-learn brings along, cut into squares of 24 pixels
# that do not overlap. Squares of one photograph are alike, in the training part
# as in the test part, so that accuracies here are higher than on photographs
# that were not seen.

# %%
from PIL import Image
from sklearn.datasets import load_sample_images

if not FOLDER:
  FOLDER, square = f"{RUNS}/photographs", 24
  photographs = load_sample_images().images
  for name, photo in zip(("temple", "flower"), photographs, strict=True):
    where = pathlib.Path(FOLDER, name)
    where.mkdir(parents=True, exist_ok=True)
    for top in range(0, photo.shape[0] - square + 1, square):
      for left in range(0, photo.shape[1] - square + 1, square):
        cut = photo[top : top + square, left : left + square]
        Image.fromarray(cut).save(where / f"{top:03}-{left:03}.png")

# %% [markdown]
# The middle square of every image, at one size, as PNG; your files stay as they
# are.

# %%
import shutil

from metaaux.data.sources import decode

IMAGES = f"{RUNS}/images"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

shutil.rmtree(IMAGES, ignore_errors=True)
files = [
  path
  for path in sorted(pathlib.Path(FOLDER).rglob("*"))
  if path.suffix.lower() in SUFFIXES
]
for path in files:
  pixels = decode.fit(decode.decode(path, 3), SIDE)
  target = pathlib.Path(IMAGES, path.relative_to(FOLDER))
  target.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(target.with_name(f"{path.name}.png"))
print(f"{len(files)} images of {SIDE}x{SIDE} in {IMAGES}")

# %% [markdown]
# What the library reads: ten random training images of each class.

# %%
import numpy as np
from metaaux.experiments import clusters, notebook

from metaaux.data import sources

train = sources.load(f"folder:{IMAGES}", "train")
test = sources.load(f"folder:{IMAGES}", "test")
(level, classes), *_ = train.names.items()
for number, name in enumerate(classes):
  counts = [int((part.labels[level] == number).sum()) for part in (train, test)]
  print(f"{name}: {counts[0]} to train, {counts[1]} to test")
rows = clusters.mosaic(
  train.images, train.labels[level], np.arange(len(classes))
)
enlarged = max(1, 48 // SIDE)
picture = Image.fromarray(
  rows.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
)
picture.save(f"{RUNS}/classes.png")
notebook.picture(f"{RUNS}/classes.png")

# %% [markdown]
# ## Config
#
# The config for digits suits any small images; its network follows their size.
# For larger ones raise `WIDTHS` and `STEPS`, and look at the curves: they
# should be flat at the end. `labels_per_class=0` uses all images.

# %%
SEEDS, STEPS, WIDTHS = 3, 200, "16,32"
OVERRIDES = [
  f"--config.dataset=folder:{IMAGES}",
  "--config.labels_per_class=0",
  f"--config.num_seeds={SEEDS}",
  f"--config.num_steps={STEPS}",
  f"--config.eval_every={max(1, STEPS // 8)}",
  f"--config.model.widths={WIDTHS}",
  "--config.optimizer.learning_rate=0.05",
  f"--config.batch_size={64 // jax.device_count() * jax.device_count()}",
]

# %% [markdown]
# ## Training
#
# `single` learns the classes alone. `uniform` adds auxiliary labels that say
# nothing: the control. `maxl` learns what to say. Interrupting writes a
# checkpoint, and the same cell goes on from it.

# %%
from metaaux import main

METHODS = ("single", "uniform", "maxl")
for method in METHODS:
  notebook.run(
    main.main,
    f"--config={ROOT}/configs/maxl_digits.py:runlocal,method={method}",
    *OVERRIDES,
    f"--workdir={RUNS}/{method}",
  )

# %%
from metaaux.experiments import curves

notebook.run(
  curves.main,
  f"--workdir={RUNS}",
  f"--output={RUNS}/curves.png",
  f"--title={', '.join(classes[:4])}",
)
notebook.picture(f"{RUNS}/curves.png", width=640)

# %% [markdown]
# ## The labels
#
# Test images at the auxiliary label that MAXL finds likeliest for them. The
# title has the share of what the labels could say beyond the class. Where it is
# close to 0, the likeliest label is so by a hair: rows may look sorted, by
# colour for instance, and yet the labels tell the other network next to
# nothing.

# %%
from metaaux.experiments import labels

notebook.run(
  labels.main, f"--workdir={RUNS}/maxl", f"--output={RUNS}/labels.jpg"
)
notebook.picture(f"{RUNS}/labels.jpg", width=800)

# %% [markdown]
# ## The comparison
#
# Differences to `uniform`, paired by seed. If the interval of MAXL holds zero,
# its labels are not seen to do more for these images than labels without
# content.

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
# ## What the network says
#
# The trained network of the first seed, opened again: how often it takes which
# class for which, and the test images that it gets wrong.

# %%
from metaaux.run import scoring
from metaaux.run.checkpoints import reopen

restored = reopen.restore(f"{RUNS}/maxl")
predict = scoring.make_predictor(restored.stage, restored.run)
tested = restored.run.problem.tested()
examples, truth = restored.run.tests["test"]
logits = predict(restored.states, examples, tested)[0]
truth, said = truth[tested[0]], np.asarray(logits).argmax(-1)
for number, name in enumerate(classes):
  counts = np.bincount(said[truth == number], minlength=len(classes))
  text = ", ".join(f"{c} {n}" for c, n in zip(classes, counts, strict=True))
  print(f"{name} is taken for: {text}")
wrong = np.flatnonzero(truth != said)
if len(wrong):
  mistakes = restored.run.problem.test["image"][tested[0]][wrong]
  shown = np.unique(truth[wrong])
  print("wrong, a row for each true class:", *(classes[n] for n in shown))
  rows = clusters.mosaic(mistakes, truth[wrong], shown)
  rows = rows.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
  Image.fromarray(rows).save(f"{RUNS}/mistakes.png")
  notebook.picture(f"{RUNS}/mistakes.png")

# %% [markdown]
# ## The report
#
# One HTML file with the answer, curves, maps of the features, galleries and the
# commands that repeat the runs.

# %% tags=["page"]
from metaaux.experiments import report

notebook.run(report.main, f"--workdir={RUNS}", "--baseline=uniform")
notebook.page(f"{RUNS}/report.html")

# %% [markdown]
# ## Further
#
# - New images with the same classes: `python -m metaaux.evaluate
#   --workdir=RUNS/maxl --dataset=folder:PATH` has the accuracy on them.
# - Few labels are where auxiliary tasks are meant to help:
#   `--config.labels_per_class=50` keeps fifty of each class for training.
# - Clusters of the images within each class as labels: add `kmeans` to
#   `METHODS`.
# - Sub-classes that you know: `hierarchy=FILE.json` and `method=human`, see the
#   README.
