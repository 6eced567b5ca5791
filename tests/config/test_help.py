import pathlib
import subprocess
import sys
import textwrap

import pytest

from metaaux import config as config_lib
from metaaux.config import file as config_file
from metaaux.config import help as config_help
from metaaux.config.keys import KEYS

ROOT = pathlib.Path(__file__).parents[2]


def test_all_keys_with_their_defaults():
  said = config_help.text(None)
  for name, key in KEYS.items():
    assert f"  --config.{name}={config_help.written(key.default)}" in said
  changed = config_lib.base()
  changed.num_steps = 7
  assert config_help.text(changed, full=True) == said


def test_keys_that_a_config_reads_with_its_values():
  config = config_file.load("configs/maxl_digits.py")
  said = config_help.text(config)
  assert "Counts the updates of the last stage. (at" in said
  for line in (
    "  --config.labels_per_class=50    Counts the labelled training images",
    "  --config.model.widths=16,32     Counts the channels",
    "  --config.generator.optimizer.name=adam\n",
    '  --config.hierarchy=""  ',
    "  --config.psi=()  ",
    "MAXL:\n",
  ):
    assert line in said, line
  for name in ("damtl", "embedding", "weighting", "optimizer.decay_every"):
    assert f"--config.{name}" not in said
  assert said.splitlines()[-1].startswith("--helpfull shows all keys")
  shown = said.count("  --config.")
  assert f"does not read {len(KEYS) - shown}." in said


@pytest.mark.parametrize("full", [False, True])
def test_lines_are_as_wide_as_a_terminal(full):
  said = config_help.text(config_lib.base(), full=full)
  assert max(map(len, said.splitlines())) <= 80


def test_a_method_of_ones_own_may_read_all_keys(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(
    textwrap.dedent("""
    import ml_collections
    from metaaux import config
    def get_config(arg=""):
      base = config.base()
      base.method = "mine:make"
      base.own = ml_collections.ConfigDict({"depth": 3})
      return base
    """)
  )
  said = config_help.text(config_file.load(str(path)))
  assert "--config.damtl.start=auxiliary" in said
  assert "keys of your own:\n  --config.own.depth=3\n" in said


def test_help_needs_no_jax():
  code = (
    "import sys\nfrom metaaux.config import help\nhelp.text(None)\n"
    "assert not {'jax', 'numpy'} & set(sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr


def test_the_page_of_keys_is_that_of_the_table():
  found = (ROOT / "docs" / "keys.md").read_text()
  assert found == config_help.page(), (
    "write it anew: python -m metaaux.config.help > docs/keys.md"
  )
