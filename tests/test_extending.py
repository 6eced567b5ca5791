"""The pages on methods, data and networks of one's own: their code runs."""

import pathlib
import re
import runpy
import shlex
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest
import tiny

from experiments import table
from metaaux import config as config_lib
from metaaux import data, evaluate, main, models, parallel
from metaaux.config import file as config_file
from metaaux.errors import UserError
from metaaux.models import ModelOptions

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ("add_method", "add_data", "add_network")
CODE = re.compile(r'^```python title="([\w.]+)"\n(.*?)^```$', re.M | re.S)
COMMAND = re.compile(r"^(python|metaaux) (.+)$", re.M)
COMMANDS = {
  "metaaux.main": main.main,
  "metaaux.evaluate": evaluate.main,
  "table": table.main,
}
# A moment each, on one device, as batches need not divide among four.
SHORT = [
  "--config.num_steps=4",
  "--config.eval_every=2",
  "--config.num_seeds=2",
  "--config.parallel=none",
  "--config.model.lowering=native",
  "--config.model.widths=4",
  "--config.model.kernels=3",
  "--compilation_cache=",
]


def text(page):
  found = (ROOT / "docs" / f"{page}.md").read_text()
  return found.replace("\\\n", " ")  # long commands


FILES = {
  name: code for page in PAGES for name, code in CODE.findall(text(page))
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Where a reader of the pages works: their files, and configs/."""
  for name, code in FILES.items():
    (tmp_path / name).write_text(code)
    monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
  (tmp_path / "configs").symlink_to(ROOT / "configs")
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_code_is_short_and_in_style(name):
  assert len(FILES[name].splitlines()) <= 40
  path = f"--stdin-filename=examples/{name}"
  for command in (["check", "--ignore=D"], ["format", "--check"]):
    done = subprocess.run(
      [sys.executable, "-m", "ruff", *command, path, "-"],
      input=FILES[name],
      capture_output=True,
      text=True,
      cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page(page, folder, capsys):
  for program, line in COMMAND.findall(text(page)):
    words = shlex.split(line)
    if words[0] == "-m":
      words = words[1:]
    elif program == "python":
      runpy.run_path(words[0])
      continue
    short = SHORT if words[0] == "metaaux.main" else []
    status = COMMANDS[words[0]]([*words[1:], *short])
    assert status == 0, capsys.readouterr().err


def test_the_method_is_one_like_all(folder):
  """Same seed same bits, four devices train like one, weight 0 is nothing."""

  def trained(**changes):
    small = {"model.widths": (4,), "model.kernels": (3,)}
    changes = {"method": "entropy:make", "gamma": 0.0, **small, **changes}
    states, *_, run, _ = tiny.run_steps(tiny.config(**changes), 3)
    return parallel.to_host(states, run.plan)

  one = trained()
  chex.assert_trees_all_equal(one, trained())
  chex.assert_trees_all_close(
    one, trained(parallel="pmap"), rtol=1e-5, atol=1e-6
  )
  off, single = trained(auxiliary_weight=0.0), trained(method="single")
  chex.assert_trees_all_close(off.params, single.params, rtol=1e-5, atol=1e-6)
  with pytest.raises(AssertionError):
    chex.assert_trees_all_close(one.params, single.params, rtol=1e-5)


def test_the_source_has_what_its_page_says(folder):
  train = data.load("python:photos:load", "train[:90%]")
  test = data.load("python:photos:load", "test")
  assert train.images.shape == (1404, 16, 16, 3)
  assert test.images.shape == (520, 16, 16, 3)
  assert set(train.labels) == {"photo", "part"}
  np.testing.assert_array_equal(test.labels["part"] // 3, test.labels["photo"])


@pytest.mark.parametrize("kind", ["dropout", "block_dropout"])
def test_the_network_has_dropout(kind, folder):
  config = tiny.config(**{"model.name": "mixer:build", f"model.{kind}": 0.5})
  net = models.make(
    ModelOptions.of(config.model), {"primary": 2, "auxiliary": 4}
  )
  images = np.linspace(0, 1, 4 * 64, dtype=np.float32).reshape(4, 8, 8, 1)
  params, stats = net.init(jax.random.key(0), images)
  assert {"head_primary", "head_auxiliary"} < set(params)
  keys = jax.random.split(jax.random.key(1), 4)
  plain, _ = net.apply(params, stats, images, train=True)
  dropped, _ = net.apply(params, stats, images, train=True, key=keys)
  assert plain["auxiliary"].shape == (4, 4)
  assert not np.allclose(plain["primary"], dropped["primary"])


BROKEN = {
  "nothing_of_it": "import there_is_no_such_module",
  "half_of_it": "def make(",
  "list_of_it": "make = []\ndef load(split):\n  return []",
}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"method": "entropyy:make"}, "no module 'entropyy'; run the command in"),
    ({"method": "entropy:mak"}, "entropy has no function 'mak'; write MODULE"),
    ({"method": "nothing_of_it:make"}, "ModuleNotFoundError: .*no_such_module"),
    ({"method": "half_of_it:make"}, "cannot be imported .SyntaxError"),
    ({"method": "list_of_it:make"}, "list_of_it has no function 'make'"),
    ({"model.name": "mixer:buildd"}, "model.name='mixer:buildd': mixer has no"),
    ({"dataset": "python:photos:lod"}, "photos has no function 'lod'"),
    ({"dataset": "python:list_of_it:load"}, "returned list for split 'train'"),
  ],
)
def test_what_is_written_wrongly(changes, message, folder):
  for name, code in BROKEN.items():
    (folder / f"{name}.py").write_text(code)
  with pytest.raises(UserError, match=message) as found:
    tiny.run_steps(tiny.config(**changes), 0)
  assert "\n" not in str(found.value)


def test_keys_of_ones_own(folder):
  override = ["--config.own.temperature=3"]
  config = config_file.load("own_config.py", override)
  assert config.own.temperature == 3.0
  again = config_lib.from_json(config_lib.to_json(config))
  assert not config_lib.differences(config, config_lib.to_json(again))
  with pytest.raises(UserError, match=r"own\.temperatur' is unknown .did you"):
    config_file.load("own_config.py", ["--config.own.temperatur=3"])
  with config.unlocked():
    config.own.temperature = None
  with pytest.raises(UserError, match=r"own\.temperature=None is of type"):
    config_lib.validate(config)
