import textwrap

import command
import pytest

from metaaux import config as config_lib
from metaaux.config import file as config_file
from metaaux.errors import UserError


def write(folder, text):
  path = folder / "config.py"
  path.write_text(textwrap.dedent(text))
  return str(path)


GOOD = """
  from metaaux import config
  def get_config(arg="none"):
    base = config.base()
    base.aux = arg
    return base
"""


def test_config_files_receive_what_follows_the_first_colon(tmp_path):
  path = write(tmp_path, GOOD)
  assert config_file.load(path).aux == "none"
  assert config_file.load(f"{path}:a=b:c").aux == "a=b:c"
  assert config_file.load(path).is_locked


def test_config_files_are_read_anew(tmp_path):
  path = write(tmp_path, GOOD)
  config_file.load(path)
  write(tmp_path, GOOD.replace("none", "some"))
  assert config_file.load(path).aux == "some"
  assert [entry.name for entry in tmp_path.iterdir()] == ["config.py"]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("\n\n1 / 0", r"config.py:3 failed with ZeroDivisionError: division by"),
    ("def f(:", r"failed with SyntaxError: .*\(config.py, line 1\)"),
    ("import nosuchmodule", ":1 failed with ModuleNotFoundError"),
    ("raise SystemExit(0)", ":1 failed with SystemExit: 0"),
    ("x = 1", r"defines no get_config\(\)"),
    ("get_config = dict", "returned dict, not a ConfigDict"),
    ("def get_config():\n  pass", "returned NoneType, not a ConfigDict"),
    (GOOD.replace("base.aux", "base.aus"), "'aus' is unknown .*'aux'"),
    (GOOD.replace("= arg", "= base.aus"), ":5 failed with AttributeError"),
    (GOOD.replace("= arg", "= 3"), r":5 failed with TypeError: .*'aux'"),
    (GOOD.replace("return base", "config.validate(3)"), ":6 failed with"),
    (GOOD.replace("return", "base.gamma = -1.0; return"), "gamma=-1.0 is out"),
  ],
)
def test_config_files_that_fail(tmp_path, text, message):
  with pytest.raises(UserError, match=message):
    config_file.load(write(tmp_path, text))


def test_config_files_that_are_missing(tmp_path):
  for path in (tmp_path / "no.py", tmp_path, ""):
    with pytest.raises(UserError, match="does not exist; check --config"):
      config_file.load(str(path))


def test_files_that_came_with_the_package(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert config_file.load("configs/maxl_digits.py:runlocal").num_steps == 100
  name, flag = "experiments/sweeps/maxl.py", "--sweep"
  found = config_file.execute(name, "get_sweep", flag)
  assert found["__file__"].endswith(name) and "get_sweep" in found
  # One of the working directory comes first.
  (tmp_path / "configs").mkdir()
  own = tmp_path / "configs" / "maxl_digits.py"
  own.write_text(textwrap.dedent(GOOD))
  assert config_file.load("configs/maxl_digits.py:mine").aux == "mine"
  for path in ("configs/no.py", "metaaux/main.py", name, "configs/../setup.py"):
    with pytest.raises(UserError, match=r"not exist; .*\(configs/ of the pack"):
      config_file.load(path)


@pytest.mark.parametrize(
  ("items", "expected"),
  [
    (["--config.seed=3"], {"seed": 3}),
    (["--config.seed", "3"], {"seed": 3}),
    (["--config.seed=3", "--config.seed=4"], {"seed": 4}),
    (["--config.gamma=1"], {"gamma": 1.0}),
    (["--config.aux="], {"aux": ""}),
    (["--config.aux=a=b"], {"aux": "a=b"}),
    (["--config.sync_batch_norm=false"], {"sync_batch_norm": False}),
    (["--config.psi=5"], {"psi": (5,)}),
    (["--config.psi=(5, 4)"], {"psi": (5, 4)}),
    (["--config.psi=[5,4]"], {"psi": (5, 4)}),
    (["--config.psi=5+4"], {"psi": (5, 4)}),
    (["--config.psi=()"], {"psi": ()}),
    (["--config.psi=5", "--config.psi", "4"], {"psi": (5, 4)}),
    (["--config.sync_batch_norm"], {"sync_batch_norm": True}),
    (["--noconfig.sync_batch_norm"], {"sync_batch_norm": False}),
    (["-config.seed=3"], {"seed": 3}),
    (["--config.weighting.values=1,2"], {"weighting.values": (1.0, 2.0)}),
    (
      ["--config.semi_supervised.tasks=exemplar,useless"],
      {"semi_supervised.tasks": ("exemplar", "useless")},
    ),
    (
      ["--config.extra_test=npz:a+b,digits"],
      {"extra_test": ("npz:a+b", "digits")},
    ),
    (["--config.extra_test=('digits',)"], {"extra_test": ("digits",)}),
    (["--config.model.hidden=3"], {"model.hidden": 3}),
    (["--config.sed=3"], r"'sed' is unknown \(did you mean 'seed'\?\)"),
    (["--config.model.hiden=3"], r"'model\.hiden' .* 'model\.hidden'"),
    (["--config.model=3"], r"'model' is a group; set one of model\.batch_norm"),
    (["--config.seed=x"], "seed='x' .* a whole number"),
    (["--config.seed=1.5"], r"seed='1\.5' .* a whole number"),
    (["--config.gamma=big"], "gamma='big' .* a number"),
    (["--config.sync_batch_norm=2"], "sync_batch_norm='2' .* True or False"),
    (["--config.seed=-1"], "seed=-1 is out of range"),
    (["--config.seed"], "--config.seed needs a value"),
    (["--config.seed", "--config.aux=3"], "--config.seed needs a value"),
    (["--config.aux", "--config.seed=3"], "--config.aux needs a value"),
    (["--config.psi=5,x"], "psi='5,x' .* whole numbers joined by"),
    (["--seed=3"], "unexpected argument '--seed=3'"),
    (["seed=3"], "unexpected argument 'seed=3'"),
  ],
)
def test_overrides(tmp_path, items, expected):
  path = write(tmp_path, GOOD)

  def load():
    return config_file.load(path, items)

  if isinstance(expected, str):
    with pytest.raises(UserError, match=expected):
      load()
    return
  found = config_lib.flatten(load())
  before = config_lib.flatten(config_lib.base()) | {"aux": "none"}
  assert found == before | expected


@pytest.mark.parametrize(
  ("name", "spec", "expected"),
  [
    ("c.py", "{}", ["{}"]),
    ("c.py", "{}:", ["{}", ""]),
    ("c.py", "{}:method=a:b", ["{}", "method=a:b"]),
    ("a:b.py", "{}", ["{}"]),
    ("a:b.py", "{}:method=a:b,c", ["{}", "method=a:b,c"]),
    ("a:b/c:d", "{}:e", ["{}", "e"]),
  ],
)
def test_a_colon_may_be_of_the_path(tmp_path, name, spec, expected):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  path.write_text("")
  found = config_file.split(spec.format(path), "--config")
  assert found == [text.format(path) for text in expected]


@pytest.mark.parametrize(
  ("spec", "expected"),
  [
    ("configs/maxl_digits.py:runlocal", ["configs/maxl_digits.py", "runlocal"]),
    ("nowhere.py:a:b", ["nowhere.py", "a:b"]),
    (r"C:\a.py", [r"C:\a.py"]),
    ("C:/a.py:b:c", ["C:/a.py", "b:c"]),
    ("", [""]),
  ],
)
def test_the_first_colon_ends_a_path_that_is_not_there(
  tmp_path, monkeypatch, spec, expected
):
  monkeypatch.chdir(tmp_path)
  assert config_file.split(spec, "--config") == expected


def test_a_file_in_the_home_directory(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  command.write_config(tmp_path)
  assert config_file.load("~/tiny.py:seeds=3").num_seeds == 3


def test_a_path_that_no_file_can_have(tmp_path):
  for path in ("x" * 5000, "a\0b"):
    with pytest.raises(UserError, match="does not exist; check --config"):
      config_file.load(path)
