import importlib.util
import json
import os
import re
import subprocess
import sys

import command
import numpy as np
import pytest
import tiny_tfds

from metaaux import evaluate, main

ONE_LINE = re.compile(r"error: [^\n]+\n")
SPLITS = ("train", "test")


@pytest.fixture
def config(tmp_path):
  return f"--config={command.write_config(tmp_path)}"


def arrays(**changes):
  """A small data set of two classes, in the form of an npz source."""
  rng = np.random.default_rng(0)
  return {
    **{f"x_{s}": rng.integers(0, 256, (60, 8, 8), np.uint8) for s in SPLITS},
    **{f"y_{s}": np.arange(60) % 2 for s in SPLITS},
    **changes,
  }


def here(*flags, capsys):
  """Status, stdout and stderr of the command, in this process."""
  status = main.main(["--compilation_cache=", *flags])
  found = capsys.readouterr()
  return status, found.out, found.err


# Flags after a right --config, or (flags,) alone; and what stderr says.
WRONG_COMMANDS = [
  ((), r"no --config; give a configuration file, e\.g\. --config=configs/"),
  (("--config=no.py",), r"config file 'no\.py' does not exist; check --config"),
  (("--config=fails.py",), r"fails\.py:2 failed with ZeroDivisionError: "),
  (("--config=tiny.py:sed=1",), r"'sed' is unknown .*'seeds'.*known: method, "),
  (("--config=tiny.py", "--config.foo=1"), "config key 'foo' is unknown"),
  (
    ("--config=tiny.py", "--config.model.hiden=1"),
    r"'model\.hiden' is unknown \(did you mean 'model\.hidden'\?\)",
  ),
  (
    ("--config=tiny.py", "--config.num_steps=1.5"),
    r"num_steps='1\.5' .* a whole number",
  ),
  (
    ("--config=tiny.py", "--config.optimizer.momentum=2"),
    r"momentum=2\.0 is out of range; it must be at least 0 and at most 1",
  ),
  (
    ("--config=tiny.py:method=maxel",),
    r"'maxel' is unknown \(did you mean 'maxl'\?\); use one of log",
  ),
  (("--config=tiny.py", "single"), "unexpected argument 'single'"),
  (
    ("--config=tiny.py", "--workdri=x"),
    r"argument '--workdri=x' \(did you mean '--workdir'\?\)",
  ),
  (("--config=tiny.py", "--workdir"), "--workdir needs a value: --workdir="),
  (("--workdir", "--config=tiny.py"), "--workdir needs a value: --workdir="),
  (("--config=tiny.py", "--config.psi=5,x"), r"psi='5,x' .* whole numbers"),
  (("--config=tiny.py", "--config.model=3"), "key 'model' is a group; set one"),
  (("--config.seed=3",), "seed needs a config whose key it sets; give --conf"),
  (("--config=tiny.py", "--flagfile=no.txt"), "--flagfile: .*no.txt"),
  (("--config=tiny.py", "--num_hosts=x"), "--num_hosts=x: invalid literal"),
  (("--config=maxl_digit",), r"does not exist \(did you mean 'maxl_digits'\?"),
  (
    ("--config=tiny.py", "--workdir=fails.py/x"),
    r"workdir 'fails\.py/x' cannot be written .*--workdir=DIR",
  ),
]


# All of them in one process, as each starts for longer than it runs.
ANSWERS = """
import contextlib, io, json, os, sys
from metaaux import main

answers = []
for flags in json.loads(sys.argv[1]):
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = main.main(flags)
  answers.append([status, out.getvalue(), err.getvalue(), os.listdir()])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
  """Flags -> status, stdout and stderr, and which files are there now."""
  folder = tmp_path_factory.mktemp("wrong")
  (folder / "jax.py").write_text("raise RuntimeError('JAX was imported')")
  (folder / "fails.py").write_text("\n1 / 0\n")
  command.write_config(folder)
  commands = [flags for flags, _ in WRONG_COMMANDS]
  done = subprocess.run(
    [sys.executable, "-c", ANSWERS, json.dumps(commands)],
    cwd=folder,
    env=command.environment(folder),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return dict(zip(commands, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("flags", "message"), WRONG_COMMANDS)
def test_wrong_commands_in_a_process_that_has_no_jax(answers, flags, message):
  status, out, err, files = answers[flags]
  assert (status, out) == (2, "")
  assert ONE_LINE.fullmatch(err), err
  assert re.search(message, err)
  written = sorted(name for name in files if name[0] != "_")
  assert written == ["fails.py", "jax.py", "tiny.py"]


def test_a_wrong_run_in_a_process(tmp_path, config):
  flags = config, "--workdir=run", "--config.parallel=pmap"
  env = command.environment(JAX_NUM_CPU_DEVICES="3")
  done = command.run(*flags, cwd=tmp_path, env=env)
  assert (done.returncode, done.stdout) == (2, "")
  assert ONE_LINE.fullmatch(done.stderr), done.stderr
  message = "cannot be split over 3 devices; .*batch_size=15"
  assert re.search(message, done.stderr)
  assert not (tmp_path / "run").exists()


FLOATS = np.random.default_rng(0).random((60, 8, 8))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"y_train": np.arange(60) % 2 - 2}, r"label -2 is outside 0\.\.1"),
    ({"y_train": np.arange(60) % 2 * 900}, r"but one is 900; number the"),
    ({"y_train": np.arange(60) % 2 / 4}, "'y_train' is float64 .* integer"),
    ({"y_train": np.zeros(60, int)}, "60 training images are of the class '0'"),
    ({"y_train": np.arange(59) % 2}, "60 images but 59 labels"),
    ({"x_test": FLOATS[:, :7]}, r"\(8, 8, 1\), test images \(7, 8, 1\)"),
    ({"x_train": FLOATS * [np.nan]}, "float images hold nan"),
    ({"x_train": FLOATS * 100}, r"float images hold \d"),
    (
      {"x_train": FLOATS * 255},
      r"images look like \(0.*test images like the u",
    ),
    ({"x_train": FLOATS.astype(np.int64)}, "images are int64; store them as"),
    ({"x_train": np.zeros((0, 8, 8), np.uint8)}, "no examples"),
    (
      {"x_train": FLOATS[:9], "y_train": np.arange(9) % 2},
      "labels_per_class=24",
    ),
  ],
)
def test_wrong_arrays(tmp_path, config, capsys, changes, message):
  np.savez(tmp_path / "data.npz", **arrays(**changes))
  flags = (
    f"--config.dataset=npz:{tmp_path}/data.npz",
    f"--workdir={tmp_path}/x",
  )
  status, out, err = here(config, *flags, capsys=capsys)
  assert (status, out) == (2, "")
  assert ONE_LINE.fullmatch(err)
  assert re.search(message, err)
  assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (
      ["--config.dataset=digit"],
      "dataset 'digit' is not understood; use digits",
    ),
    (["--config.dataset=folder:no"], "folder:no: no such folder"),
    (
      ["--config.dataset=folder:{}"],
      "has 0 class folders; it needs two or more",
    ),
    (["--config.dataset=npz:{}"], "no such file"),
    (["--config.dataset=npz:none.npz"], r"npz:none\.npz: no such file"),
    (["--config.dataset=npz:{}/../cut.npz"], r"cut\.npz cannot be read"),
    pytest.param(
      ["--config.dataset=tfds:cifar10"],
      "tfds:cifar10 is not prepared in ",
      marks=pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is not None,
        reason="TensorFlow would download it",
      ),
    ),
    (["--config.train_split=tran"], "digits has no split 'tran'; its splits: "),
    (["--config.hierarchy=no.json"], r"hierarchy 'no\.json' cannot be read"),
    (["--config.primary=3"], "primary='3' is not a level of digits"),
    (["--config.batch_size=49"], "batch_size=49, but the train split has 48 "),
    (
      ["--config.meta_fraction=0.1"],
      "batch_size=16, but the meta split has 5 ",
    ),
    (["--config.labels_per_class=501"], "labels_per_class=501, but .* has "),
    (["--config.psi=1,2,3"], "psi has 3 entries, but primary="),
    (
      ["--config.model.name=resnt"],
      "no model 'resnt'; known: convnet, mlp, resnet18, resnet50",
    ),
    (
      ["--config.model.widths=4,4"],
      r"widths=\(4, 4\) and model\.kernels=\(3,\) ",
    ),
    (["--config.model.name=vgg16"], "images of at least 32x32, these are 8x8"),
    (
      ["--config.model.widths=4,4,4,4", "--config.model.kernels=3,3,3,3"],
      "images of 8x8 are too small for",
    ),
    (
      [
        "--config.method=maxl",
        "--config.inner.num_steps=2",
        "--config.maxl.centre_hypergradient=true",
      ],
      "centre_hypergradient=True needs inner.num_steps=1",
    ),
  ],
)
def test_wrong_runs(tmp_path, config, capsys, monkeypatch, flags, message):
  tiny_tfds.use(monkeypatch, tmp_path / "tfds")
  (tmp_path / "empty").mkdir()
  np.savez(tmp_path / "cut.npz", **arrays())
  with open(tmp_path / "cut.npz", "r+b") as file:
    file.truncate(1000)
  flags = [flag.format(tmp_path / "empty") for flag in flags]
  if any("psi" in flag for flag in flags):
    flags.append("--config.primary=2")
  workdir = tmp_path / "run"
  status, out, err = here(config, f"--workdir={workdir}", *flags, capsys=capsys)
  assert (status, out) == (2, "")
  assert ONE_LINE.fullmatch(err)
  assert re.search(message, err)
  assert not workdir.exists()


def test_a_finished_run_is_printed_without_its_data(tmp_path, config, capsys):
  np.savez(tmp_path / "data.npz", **arrays())
  workdir = tmp_path / "run"
  flags = [
    config,
    f"--workdir={workdir}",
    f"--config.dataset=npz:{tmp_path}/data.npz",
  ]
  first = here(*flags, capsys=capsys)
  assert first[0] == 0
  result = json.loads((workdir / "result.json").read_text())
  assert f"test accuracy {100 * result['mean']:.2f} % (1 seed, 6 " in first[1]
  assert str(workdir / "result.json") in first[1]
  size = "48 training and 60 test images of 8x8x1, 2 classes (0, 1)\n"
  assert size in first[2]
  of = result["averaged_evaluations"]
  assert of > 1 and f", mean of the last {of} evaluations)" in first[1]
  os.unlink(tmp_path / "data.npz")
  assert here(*flags, capsys=capsys) == (0, first[1], "")
  # Another config is refused, and nothing is touched.
  status, _, err = here(*flags, "--config.seed=1", capsys=capsys)
  assert status == 2
  assert ONE_LINE.fullmatch(err)
  assert "another config: seed (0 -> 1); use another --workdir" in err
  assert here(*flags, capsys=capsys) == (0, first[1], "")
  # Nor does --overwrite remove a run before its successor can begin.
  status, _, err = here(*flags, "--overwrite", capsys=capsys)
  assert (status, bool(ONE_LINE.fullmatch(err))) == (2, True)
  assert here(*flags, capsys=capsys) == (0, first[1], "")


def test_overwrite_starts_anew(tmp_path, config, capsys):
  workdir = tmp_path / "run"
  flags = [config, f"--workdir={workdir}"]
  assert here(*flags, capsys=capsys)[0] == 0
  (workdir / "notes.txt").write_text("mine")
  changed = [*flags, "--config.seed=1"]
  assert here(*changed, "--overwrite", capsys=capsys)[0] == 0
  assert json.loads((workdir / "result.json").read_text())["seeds"] == [1]
  rows = (workdir / "metrics.jsonl").read_text().splitlines()
  assert {json.loads(row)["seed"] for row in rows} == {1}
  assert (workdir / "notes.txt").read_text() == "mine"
  assert here(*changed, capsys=capsys)[0] == 0
  assert here(*flags, capsys=capsys)[0] == 2


def test_the_default_workdir_follows_the_config(
  tmp_path, config, capsys, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  for _ in range(2):
    status, out, _ = here(f"{config}:seeds=2", capsys=capsys)
    assert status == 0
  (name,) = os.listdir("runs")
  assert re.fullmatch("tiny-[0-9a-f]{8}", name)
  assert out.endswith(f"runs/{name}/result.json\n")
  result = json.loads((tmp_path / "runs" / name / "result.json").read_text())
  digest = result["config_sha256"]
  assert name == f"tiny-{digest[:8]}"
  assert main.default_workdir("a/b.c.py", "0123456789") == "runs/b.c-01234567"


def test_non_finite_training_keeps_the_last_good_checkpoint(
  tmp_path, config, capsys
):
  workdir = tmp_path / "run"
  flags = [
    config,
    f"--workdir={workdir}",
    "--config.optimizer.learning_rate=1e30",
    "--config.checkpoint_every=1",
  ]
  status, out, err = here(*flags, capsys=capsys)
  assert (status, out) == (3, "")
  message = r"error: \w+ is (nan|inf) at step 2 of stage train \(seed 0; last "
  assert re.match(message, err.splitlines()[-1]), err
  assert "Traceback" not in err
  assert not (workdir / "result.json").exists()
  assert evaluate.restore(str(workdir)).step == 1


def test_a_run_does_without_a_cache_that_cannot_be_made(
  tmp_path, config, capsys
):
  cache = f"{tmp_path}/tiny.py/cache"
  flags = [config, f"--workdir={tmp_path}/run", f"--compilation_cache={cache}"]
  status, _, err = here(*flags, capsys=capsys)
  assert status == 0
  assert err.startswith(f"warning: no compilation cache in {cache}: Not a dir")


def test_flags_from_a_file(tmp_path, config, capsys):
  flagfile = tmp_path / "flags.txt"
  flagfile.write_text(f"# as often\n{config}\n--config.num_steps=2\n")
  workdir = tmp_path / "run"
  more = tmp_path / "more.txt"
  more.write_text(f"--workdir={workdir}\n")
  flags = ["--config.eval_every", "1", f"--flagfile={more}"]
  status, _, err = here(f"--flagfile={flagfile}", *flags, capsys=capsys)
  assert status == 0, err
  stored = json.loads((workdir / "config.json").read_text())["config"]
  assert (stored["num_steps"], stored["eval_every"]) == (2, 1)


def test_importing_costs_no_jax_and_defines_no_flag():
  code = (
    "import sys\n"
    "from absl import app, flags\n"
    "from ml_collections import config_flags\n"
    "before = set(flags.FLAGS)\n"
    "flags.DEFINE_string('workdir', None, 'of a program that imports us')\n"
    "import metaaux, metaaux.main, metaaux.config.file\n"
    "heavy = {'jax', 'jaxlib', 'tensorflow', 'tensorflow_datasets', 'orbax'}\n"
    "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    "assert set(flags.FLAGS) == before | {'workdir'}\n"
    "for _ in range(2):\n"
    "  assert metaaux.main.main(['--help']) == 0\n"
    "  assert metaaux.main.main(['--config=no.py']) == 2\n"
    "assert set(flags.FLAGS) == before | {'workdir'}\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    env=command.environment(),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr


def test_keys_may_stand_before_their_file(capsys, config):
  status, out, _ = here("--config.seed=7", config, "--help", capsys=capsys)
  assert status == 0 and "  --config.seed=7 " in out


def test_help_shows_the_values_of_the_file(capsys, config):
  # All keys stand beside their defaults, whatever the file gives.
  for flag, values in (("--help", (7, 6)), ("--helpfull", (0, 1000))):
    status, out, _ = here(config, flag, "--config.seed=7", capsys=capsys)
    assert status == 0
    for key, value in zip(("seed", "num_steps"), values, strict=True):
      assert f"  --config.{key}={value} " in out
    assert ("--verbosity" in out) == (flag == "--helpfull")
