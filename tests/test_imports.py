"""What importing costs, and which way the imports point."""

import ast
import graphlib
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "metaaux"
FILES = sorted(PACKAGE.rglob("*.py"))

# Rooms from the top down; a file imports its own room and what is below.
FLOORS = (
  ("__main__",),
  ("main",),
  ("train",),
  ("evaluate",),
  ("run",),
  ("methods",),
  ("data", "models"),
  ("config", "parallel"),
  ("stage", "losses", "hypergrad", "kmeans", "partitions", "simplex"),
  ("files", "messages"),
  ("errors",),
)
FLOOR_OF = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
# Beside each other on a floor.
BESIDE = {
  ("hypergrad", "losses"),
  ("kmeans", "losses"),
  ("partitions", "kmeans"),
  ("partitions", "losses"),
}


def name_of(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}


def imported(path):
  """Modules of the package, and of the project's other folders."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      for name in node.names:
        whole = f"{node.module}.{name.name}"
        yield whole if whole in MODULES else node.module


def room(module):
  return module.split(".")[1] if "." in module else ""


def test_importing_pulls_in_nothing_heavy():
  code = (
    "import sys, metaaux.train, metaaux.evaluate\n"
    "heavy = {'tensorflow', 'tensorflow_datasets', 'torch', 'ray',"
    " 'submitit', 'matplotlib', 'sklearn', 'PIL', 'tensorboardX'}\n"
    "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr


def test_every_room_has_a_floor():
  rooms = {room(module) for module in MODULES} - {""}
  assert rooms == set(FLOOR_OF)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
  for other in imported(MODULES[module]):
    assert other.split(".")[0] not in ("experiments", "benchmarks"), other
    here, there = room(module), room(other)
    if not (here and other.startswith("metaaux.") and here != there):
      continue
    below = FLOOR_OF[there] > FLOOR_OF[here]
    assert below or (here, there) in BESIDE, other


@pytest.mark.parametrize(
  "module", [name for name in MODULES if name.count(".") > 2]
)
def test_a_method_knows_no_other(module):
  folder = module.split(".")[2]
  for other in imported(MODULES[module]):
    parts = other.split(".")
    if room(module) == room(other) == "methods" and len(parts) > 3:
      assert parts[2] in (folder, "embeddings", "reweighting"), other


def test_no_circles():
  graph = {
    module: {x for x in imported(path) if x in MODULES and x != module}
    for module, path in MODULES.items()
  }
  # A package that offers what its files hold is looked up by them as a folder.
  for module, others in graph.items():
    others -= {x for x in others if module.startswith(f"{x}.")}
  # CycleError names a circle.
  assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(
    graph
  )


def test_only_parallel_knows_pmap_and_only_one_file_orbax():
  for path in FILES:
    text, name = path.read_text(), name_of(path)
    if name != "metaaux.parallel":
      assert "jax.pmap(" not in text, path
    if name != "metaaux.run.checkpoints.format":
      assert "orbax.checkpoint" not in text, path


@pytest.mark.parametrize(
  "name",
  [
    "metaaux.hypergrad:hypergradient",
    "metaaux.kmeans:kmeans",
    "metaaux.losses:cmmd",
    "metaaux.methods.arml:make",
    "metaaux.methods.damtl:make",
    "metaaux.methods.maxl:make",
    "metaaux.methods.meta_mtl:make",
    "metaaux.methods.reweighting:WEIGHTINGS",
    "metaaux.partitions:report",
    "metaaux.simplex:project",
  ],
)
def test_names_that_users_have(name):
  module, _, attribute = name.partition(":")
  assert getattr(importlib.import_module(module), attribute)
