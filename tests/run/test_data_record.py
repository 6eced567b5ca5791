"""Whether a run knows its data again."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from metaaux import config as config_lib
from metaaux import evaluate, main, train
from metaaux.data import identity
from metaaux.errors import Stopped, UserError
from metaaux.run import data_record
from metaaux.run import directory as run_directory

NAMES = ("ant", "bee", "cat")


def folder(root, names=NAMES, count=10, first=0):
  """Images of one brightness a class; the brightness belongs to the name."""
  for name in names:
    bright = 40 + 80 * (sorted(NAMES).index(name) if name in NAMES else 1)
    (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
      noise = np.random.default_rng(i).integers(0, 40, (8, 8), np.uint8)
      Image.fromarray(noise + np.uint8(bright)).save(root / name / f"{i}.png")
  return root


def settings(root, **changes):
  return tiny.config(
    **{
      "method": "single",
      "dataset": f"folder:{root}",
      "labels_per_class": 0,
      "batch_size": 8,
      "num_steps": 40,
      "optimizer.learning_rate": 0.1,
      "model.widths": (4,),
      "model.kernels": (3,),
      **changes,
    }
  )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """The folder of a data set, and the directory of a run that learned it."""
  base = tmp_path_factory.mktemp("record")
  root = folder(base / "data")
  workdir = str(base / "run")
  result = train.train_and_evaluate(settings(root), workdir)
  assert result["mean"] > 0.9
  return root, workdir


def command(workdir, *flags, capsys):
  status = evaluate.main([f"--workdir={workdir}", *flags])
  found = capsys.readouterr()
  return status, found.out, found.err


def test_a_run_says_what_its_data_is(trained):
  root, workdir = trained
  stored = json.loads(pathlib.Path(workdir, "data.json").read_text())
  assert stored["class_names"] == list(NAMES)
  assert stored["image_shape"] == [8, 8, 1]
  assert stored["normalisation"] == {"mean": 0.5, "std": 0.25}
  assert stored["sources"][f"folder:{root}"]["count"] == 30


def test_classes_are_matched_by_name(trained, tmp_path, capsys):
  """A class that sorts elsewhere, or is left out, moves no other."""
  _, workdir = trained
  # "ant" is missing, so that "bee" is class 0 of this folder.
  some = folder(tmp_path / "some", ("bee", "cat"), first=50)
  status, out, err = command(workdir, f"--dataset=folder:{some}", capsys=capsys)
  assert status == 0
  assert "accuracy 100.00 %" in out
  assert "has 2 of the 3 classes, without 'ant'" in err
  assert "(1 seed, 20 " in out


def test_the_same_names_in_another_order():
  from metaaux.data import class_matching

  known = class_matching.Known("npz:a.npz", "3", NAMES)
  found = class_matching.match(known, "npz:b.npz", {"3": ("cat", "ant", "bee")})
  np.testing.assert_array_equal(found.ids, [2, 0, 1])
  assert "another order" in found.remark


def test_unknown_classes_are_refused(trained, tmp_path, capsys):
  _, workdir = trained
  renamed = folder(tmp_path / "renamed")
  (renamed / "ant").rename(renamed / "wasp")
  status, out, err = command(
    workdir, f"--dataset=folder:{renamed}", capsys=capsys
  )
  assert (status, out) == (2, "")
  assert err.count("\n") == 1
  assert "has 'wasp', which the network does not know" in err
  assert "lacks 'ant'" in err
  more = folder(tmp_path / "more", (*NAMES, "dog"))
  status, out, err = command(workdir, f"--dataset=folder:{more}", capsys=capsys)
  assert (status, out) == (2, "")
  assert "has 'dog', which the network does not know" in err


def test_sources_without_names_are_compared_by_number(
  trained, tmp_path, capsys
):
  _, workdir = trained
  x = np.full((3, 8, 8), 60, np.uint8)
  x[1], x[2] = 140, 220
  np.savez(tmp_path / "plain.npz", x=x, y=np.arange(3))
  source = f"npz:{tmp_path}/plain.npz"
  status, out, err = command(workdir, f"--dataset={source}", capsys=capsys)
  assert status == 0 and "accuracy 100.00 %" in out
  assert "no class names to compare; its 3 classes are taken by" in err
  np.savez(tmp_path / "plain.npz", x=x[:2], y=np.arange(2))
  status, _, err = command(workdir, f"--dataset={source}", capsys=capsys)
  assert status == 2 and "no level '3'" in err and "levels: 2" in err


def test_a_folder_without_splits_is_evaluated_as_a_whole(
  trained, tmp_path, capsys
):
  root, workdir = trained
  new = folder(tmp_path / "new", count=5, first=70)
  status, out, err = command(workdir, f"--dataset=folder:{new}", capsys=capsys)
  assert status == 0
  assert "(1 seed, 15 " in out
  assert "all of its 15 images are evaluated" in err
  asked = command(
    workdir, f"--dataset=folder:{new}", "--split=test", capsys=capsys
  )
  assert asked[0] == 0 and "(1 seed, 3 " in asked[1]
  assert "a fifth of each class" in asked[2]
  # Of what it was trained on, or a copy of that, what was held out then.
  shutil.copytree(root, tmp_path / "copy")
  for own in (root, tmp_path / "copy"):
    asked = command(workdir, f"--dataset=folder:{own}", capsys=capsys)
    assert asked[0] == 0 and "(1 seed, 6 " in asked[1] and asked[2] == ""
  divided = folder(tmp_path / "divided" / "train", count=3).parent
  folder(divided / "test", count=2, first=90)
  status, out, err = command(
    workdir, f"--dataset=folder:{divided}", capsys=capsys
  )
  assert (status, err) == (0, "") and "(1 seed, 6 " in out


def test_a_further_test_folder_without_splits_is_whole(trained, tmp_path):
  root, _ = trained
  from metaaux.run import opening

  new = folder(tmp_path / "new", count=5, first=70)
  source = f"folder:{new}"
  run = opening.open_run(settings(root, extra_test=(source,)))
  assert len(opening.with_extra_tests(run).tests[source][1]) == 15


def copied(trained, tmp_path):
  """The run and its data where a test may change them."""
  root, workdir = trained
  data = tmp_path / "data"
  shutil.copytree(root, data)
  run = tmp_path / "run"
  shutil.copytree(workdir, run)
  for name in ("config.json", "data.json"):
    text = (run / name).read_text().replace(str(root), str(data))
    (run / name).write_text(text)
  return data, str(run)


def test_a_copy_and_other_times_are_the_same_data(trained, tmp_path):
  data, run = copied(trained, tmp_path)
  for path in data.rglob("*.png"):
    os.utime(path, (1, 1))
  result = data_record.finished(run, settings(data))
  assert result == run_directory.finished(run, settings(data))


@pytest.mark.parametrize("change", ["more", "bytes", "renamed"])
def test_a_result_is_not_of_changed_data(trained, tmp_path, capsys, change):
  data, run = copied(trained, tmp_path)
  if change == "more":
    folder(data, count=2, first=100)
    message = r"has changed (30 files then, 36 now)"
  elif change == "bytes":
    path = data / "ant" / "3.png"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    message = "has changed (other content)"
  else:
    (data / "ant").rename(data / "wasp")
    message = "has changed (other content)"
  with pytest.raises(UserError) as caught:
    train.train_and_evaluate(settings(data), run)
  assert message in str(caught.value)
  assert "--overwrite" in str(caught.value)
  assert "another --workdir" in str(caught.value)
  assert "\n" not in str(caught.value)
  # Nor are its checkpoints evaluated as if nothing had happened.
  status, out, err = command(run, capsys=capsys)
  assert (status, out) == (2, "") and message in err


def test_an_unfinished_run_does_not_go_on_with_other_data(tmp_path):
  data, run = folder(tmp_path / "data", count=5), str(tmp_path / "run")
  calls = []

  def train_some(steps):
    calls.clear()
    return train.train_and_evaluate(
      settings(data, num_steps=6, eval_every=0),
      run,
      should_stop=lambda: calls.append(0) or len(calls) == steps,
    )

  with pytest.raises(Stopped):
    train_some(2)
  extra = data / "bee" / "99.png"
  shutil.copy(data / "bee" / "1.png", extra)
  with pytest.raises(UserError, match="holds a run on other data: folder"):
    train_some(2)
  extra.unlink()
  with pytest.raises(Stopped):
    train_some(2)
  # One that an older version began says nothing of its data.
  os.unlink(os.path.join(run, "data.json"))
  shutil.copy(data / "bee" / "1.png", extra)
  assert train_some(100)["steps"] == 6
  assert not os.path.exists(os.path.join(run, "data.json"))


def test_runs_of_older_versions_are_evaluated_with_a_word(
  trained, tmp_path, capsys
):
  data, run = copied(trained, tmp_path)
  os.unlink(os.path.join(run, "data.json"))
  assert data_record.finished(run, settings(data))["mean"] > 0.9
  status, out, err = command(run, capsys=capsys)
  assert status == 0 and "accuracy" in out
  assert "the names of its classes are still the same is not known" in err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sources": [1]}'])
def test_a_damaged_record_hides_no_result(trained, tmp_path, capsys, content):
  data, run = copied(trained, tmp_path)
  pathlib.Path(run, "data.json").write_text(content)
  assert data_record.finished(run, settings(data))["mean"] > 0.9
  err = capsys.readouterr().err
  assert err.startswith("warning: ") and "data.json" in err
  assert err.count("\n") == 1


def test_data_that_is_gone_hides_no_result(trained, tmp_path, capsys):
  data, run = copied(trained, tmp_path)
  shutil.rmtree(data)
  assert data_record.finished(run, settings(data))["mean"] > 0.9
  assert capsys.readouterr().err == ""
  folder(data, ("ant",))
  assert data_record.finished(run, settings(data))["mean"] > 0.9
  assert "still the same is not known: folder:" in capsys.readouterr().err


def test_the_network_is_evaluated_elsewhere_whatever_became_of_its_data(
  trained, tmp_path, capsys
):
  data, run = copied(trained, tmp_path)
  (data / "ant").rename(data / "wasp")  # was class 0, would be class 2
  new = folder(tmp_path / "new", count=4, first=70)
  status, out, err = command(run, f"--dataset=folder:{new}", capsys=capsys)
  assert status == 0 and "accuracy 100.00 %" in out
  assert "warning: folder" in err and "since the run began" in err


def test_the_command_prints_no_figure_of_other_data(trained, tmp_path, capsys):
  data, run = copied(trained, tmp_path)
  file = tmp_path / "config.py"
  stored = config_lib.to_json(settings(data))
  file.write_text(
    "from metaaux import config\n"
    f"get_config = lambda: config.from_json({stored!r})\n"
  )
  flags = [f"--config={file}", f"--workdir={run}"]
  assert main.main(flags) == 0
  assert "single on folder:" in capsys.readouterr().out
  folder(data, count=2, first=100)
  assert main.main(flags) == 2
  found = capsys.readouterr()
  assert found.out == "" and found.err.count("\n") == 1
  assert "is not of this data" in found.err


def test_identity_of_archives(tmp_path):
  config = tiny.config(dataset=f"npz:{tmp_path}/a.npz")
  x, y = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2

  def content(save, **arrays):
    save(tmp_path / "a.npz", **arrays)
    found = identity.of(config, {}, lambda: None)
    return found[config.dataset]["content"]

  first = content(np.savez, x=x, y=y)
  assert content(np.savez_compressed, y=y, x=x) == first
  assert content(np.savez, x=x, y=1 - y) != first
  (tmp_path / "meta.json").write_text('{"class_names": ["a", "b"]}')
  assert content(np.savez, x=x, y=y) != first


def test_identity_of_ones_own_code(monkeypatch):
  from metaaux import data

  config = tiny.config()
  problem = data.build(config)
  config.dataset = "python:mine:load"

  def content(problem):
    return identity.of(config, {}, lambda: problem)[config.dataset]["content"]

  first = content(problem)
  image = problem.pool["image"].copy()
  assert content(problem._replace(pool={**problem.pool, "image": image})) == (
    first
  )
  image[0, 0, 0, 0] ^= 1
  assert content(problem._replace(pool={**problem.pool, "image": image})) != (
    first
  )


def test_large_sets_are_known_by_sizes(tmp_path, monkeypatch):
  config = settings(folder(tmp_path / "data", count=3))
  read = []
  monkeypatch.setattr(identity, "_bytes", lambda path: read.append(path) or "")
  first = identity.of(config, {}, lambda: None)
  assert len(read) == 9
  # As it looked before: nothing is read again.
  assert identity.of(config, first, lambda: None) == first
  assert len(read) == 9
  monkeypatch.setattr(identity, "_READ", 100)
  identity.of(config, {}, lambda: None)
  assert len(read) == 9
