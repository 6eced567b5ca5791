"""What tells the runs of a folder apart, and the curves that they draw."""

import json

import pytest
from described_runs import config_of, run

from experiments import curves, output, results
from metaaux import config as config_lib
from metaaux.errors import UserError

ALTERNATING = {"meta_mtl__variant": "alternating"}


@pytest.mark.parametrize(
  "runs, labels",
  [
    # Alone of its method, with the defaults: the method says it all.
    ([run("single"), run("maxl")], ["single", "maxl"]),
    # What one method has to hold out is worth a word.
    (
      [run("single"), run("maxl", meta_fraction=0.1)],
      ["single", "maxl meta_fraction=0.1"],
    ),
    # Single-task training reads nothing of partitions.
    (
      [
        run("single", partition__num_tasks=20),
        run("meta_mtl", partition__num_tasks=10, **ALTERNATING),
        run("meta_mtl", partition__num_tasks=4),
      ],
      [
        "single",
        "meta_mtl variant=alternating partition.num_tasks=10",
        "meta_mtl variant=paper_second_order partition.num_tasks=4",
      ],
    ),
    (
      [run("single"), run("single", model__dropout=0.5)],
      ["single model.dropout=0.0", "single model.dropout=0.5"],
    ),
    # A method's own keys come first.
    (
      [
        run("maxl", batch_size=32, maxl__entropy_weight=0.5),
        run("maxl", batch_size=64, maxl__entropy_weight=0.1),
      ],
      [
        "maxl entropy_weight=0.5 batch_size=32",
        "maxl entropy_weight=0.1 batch_size=64",
      ],
    ),
    # What is no default is named, of either.
    (
      [run("single", model__dropout=0.5), run("maxl", psi=(7,))],
      ["single model.dropout=0.5", "maxl psi=7"],
    ),
    # Tuples, and keys that change no figure.
    (
      [run("maxl", psi=(5, 3), log_every=7), run("maxl", psi=())],
      ["maxl psi=5+3", "maxl psi=()"],
    ),
    (
      [run("maxl", "a", seed=3), run("maxl", "b", seed=4)],
      ["maxl (a)", "maxl (b)"],
    ),
  ],
)
def test_labels(runs, labels):
  assert results.labels(runs) == labels


def test_baselines_come_first(tmp_path):
  """By method, what trains without the primary task before it, then rules."""
  for name, changes in {
    "a": {"method": "damtl"},
    "b": {"method": "arml"},
    "c": {"method": "transfer"},
    "d": {"method": "arml", "weighting__name": "uniform"},
    "e": {"method": "arml", "primary_weight": 0.0},
    "f": {"method": "single"},
  }.items():
    folder = tmp_path / name
    folder.mkdir()
    figures = {"mean": 0.5, "per_seed": [0.5], "seeds": [0]}
    result = {**run(name=name, **changes), **figures}
    stored = {"config": config_lib.to_json(config_of(changes))}
    (folder / "config.json").write_text(json.dumps(stored))
    (folder / "result.json").write_text(json.dumps(result))
  found = results.load(str(tmp_path))
  assert "".join(each["name"] for each in found) == "fedbca"


def test_natural_order():
  names = ["T=10", "T=4", "x", "T=4.5", "4"]
  assert sorted(names, key=results.natural) == [
    "4",
    "T=4",
    "T=4.5",
    "T=10",
    "x",
  ]


def test_links_and_insides_of_runs(tmp_path):
  folder = tmp_path / "runs" / "one"
  folder.mkdir(parents=True)
  found = {"method": "new", "mean": 0.5, "per_seed": [0.5], "seeds": [0]}
  text = json.dumps(found)
  (folder / "result.json").write_text(text)
  (folder / "cache").mkdir()
  (folder / "cache" / "result.json").write_text(text)
  (folder / "loop").symlink_to(tmp_path / "runs")
  (tmp_path / "links").mkdir()
  (tmp_path / "links" / "other").symlink_to(folder)
  for where, name in (("runs", "one"), ("links", "other")):
    loaded = results.load(str(tmp_path / where))
    # A method that is no longer known comes last, and is no error.
    assert [(r["name"], r["config"]) for r in loaded] == [(name, {})]
  (folder / "result.json").write_text("{")
  with pytest.raises(UserError, match="cannot be read"):
    results.load(str(tmp_path / "runs"))


def rows_of(*points, stage="train", before=0):
  return [
    {
      "split": split,
      "stage": stage,
      "step": step,
      "total_step": before + step,
      "seed": seed,
      "accuracy": accuracy,
    }
    for split, step, seed, accuracy in points
  ]


def test_curve_averages_seeds():
  rows = rows_of(
    ("test", 10, 0, 0.5),
    ("test", 10, 1, 0.7),
    ("train", 10, 0, 0.9),
    ("batch", 10, 0, 0.9),
  )
  steps, means, halves = curves.curve(rows, "test")
  assert (steps, means) == ([10], [60.0])
  assert halves[0] == pytest.approx(12.706 * 10, rel=1e-4)
  with pytest.raises(UserError, match="split 'validation'"):
    curves.curve(rows, "validation")


EMBEDDING = [
  {"split": "batch", "stage": "acai", "step": s, "total_step": s, "loss": 1.0}
  for s in (100, 200)
]


def test_curve_begins_after_the_embedding():
  points = ("test", 5, 0, 0.5), ("test", 10, 0, 0.6)
  rows = [*EMBEDDING, *rows_of(*points, before=200)]
  assert curves.curve(rows, "test")[0].tolist() == [5, 10]
  # A second stage that is evaluated goes on where the first one ended.
  rows += rows_of(("test", 5, 0, 0.7), stage="last", before=210)
  assert curves.curve(rows, "test")[0].tolist() == [5, 10, 15]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_picture_of_many_runs(tmp_path, capsys, ending):
  found = {"mean": 0.5, "per_seed": [0.5], "seeds": [0]}
  for i in range(7):
    folder = tmp_path / f"run{i}"
    folder.mkdir()
    method = "single" if i else "meta_mtl"
    text = json.dumps({"method": method, **found})
    (folder / "result.json").write_text(text)
    rows = rows_of(("test", 5, 0, 0.5), ("test", 9, 0, 0.6), before=200)
    lines = "\n".join(json.dumps(row) for row in [*EMBEDDING, *rows])
    (folder / "metrics.jsonl").write_text(lines + "\n")
  picture = tmp_path / "pictures" / f"curves.{ending}"
  command = [f"--workdir={tmp_path}", f"--output={picture}"]
  assert curves.main(command) == 0
  head = {"png": b"\x89PNG", "svg": b"<?xm"}[ending]
  assert picture.read_bytes()[:4] == head
  assert [path.name for path in picture.parent.iterdir()] == [picture.name]
  (tmp_path / "run3" / "metrics.jsonl").write_text("")
  assert curves.main(command) == 2
  assert "run3: no evaluation" in capsys.readouterr().err


def test_unknown_kind_of_picture(tmp_path):
  with pytest.raises(UserError, match="type 'xyz' are unknown"):
    output.figure(output.new_figure(1, 1), str(tmp_path / "a.xyz"))


def test_labels_leave_out_what_is_empty():
  of_file = {"embedding__name": "file", "embedding__path": "x.npz"}
  found = [run("joint"), run("joint", **of_file)]
  assert results.labels(found) == [
    "joint embedding.name=spectral",
    "joint embedding.name=file embedding.path=x.npz",
  ]
