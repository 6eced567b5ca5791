"""What an installation holds; `make dist` uses one as well."""

import configparser
import email
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import metaaux

ROOT = pathlib.Path(__file__).parents[1]
SHIPPED = ("metaaux", "experiments", "configs")
BUILT_BY = ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """Built from a copy, for a build leaves files in its source folder."""
  source = tmp_path_factory.mktemp("source")
  without = shutil.ignore_patterns("__pycache__")
  for name in SHIPPED:
    shutil.copytree(ROOT / name, source / name, ignore=without)
  for name in BUILT_BY:
    shutil.copy(ROOT / name, source)
  target = tmp_path_factory.mktemp("wheel")
  offline = ("--no-build-isolation", "--no-deps", "--no-index")
  command = [sys.executable, "-m", "pip", "wheel", *offline, "-w", target, "."]
  done = subprocess.run(command, cwd=source, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  (path,) = target.glob("*.whl")
  with zipfile.ZipFile(path) as found:
    yield found


def inside(path):
  """Where the wheel has what stands beside the package in a checkout."""
  return f"metaaux/{path.relative_to(ROOT).as_posix()}"


@pytest.mark.slow
def test_every_file_that_is_used_travels(wheel):
  expected = {
    (path.relative_to(ROOT).as_posix() if folder == "metaaux" else inside(path))
    for folder in SHIPPED
    for suffix in ("py", "jinja", "css")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
    if path.parent.name != "notebooks"
  }
  assert {"metaaux/configs/maxl_digits.py"} < expected
  info = f"metaaux-{metaaux.__version__}.dist-info/"
  names = set(wheel.namelist())
  assert {n for n in names if not n.startswith(info)} == expected
  assert f"{info}licenses/LICENSE" in names


@pytest.mark.slow
def test_what_the_wheel_says_of_itself(wheel):
  info = f"metaaux-{metaaux.__version__}.dist-info/"
  scripts = configparser.ConfigParser()
  scripts.read_string(wheel.read(info + "entry_points.txt").decode())
  assert dict(scripts["console_scripts"]) == {"metaaux": "metaaux.__main__:run"}
  said = email.message_from_bytes(wheel.read(info + "METADATA"))
  assert said["Description-Content-Type"] == "text/markdown"
  text = said.get_payload(decode=True).decode()
  assert text.strip() == (ROOT / "README.md").read_text().strip()
  # Whatever an error message asks for with `pip install 'metaaux[...]'`.
  asked = {
    extra
    for folder in SHIPPED
    for path in (ROOT / folder).rglob("*.py")
    for extra in re.findall(r"metaaux\[(\w+)\]", path.read_text())
  }
  assert asked and asked <= set(said.get_all("Provides-Extra"))
