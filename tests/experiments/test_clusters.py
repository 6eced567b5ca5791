"""Pictures of clusters, from what a run directory holds."""

import json

import numpy as np
import pytest
from cluster_runs import write

from experiments import clusters
from experiments.opened_runs import clusters as opened_clusters
from metaaux.errors import UserError


@pytest.mark.parametrize("made_of", [True, False])
def test_both_pictures(tmp_path, capsys, made_of):
  write(tmp_path, made_of=made_of)
  assert clusters.main([f"--workdir={tmp_path}"]) == 0
  paths = capsys.readouterr().out.splitlines()
  assert [path.rpartition("/")[2] for path in paths] == [
    "clusters-seed0-partition1.png",
    "embedding-seed0-partition1.png",
  ]
  for path in paths:
    with open(path, "rb") as file:
      assert file.read(4) == b"\x89PNG"
  left = [p.name for p in (tmp_path / "pictures").iterdir()]
  assert not [name for name in left if name.endswith(".partial")]


def test_clusters_of_labelled_images_alone(tmp_path):
  problem, vectors, partitions = write(
    tmp_path, **{"partition.images": "train"}
  )
  found = opened_clusters.load(str(tmp_path))
  where = problem.train[0]
  np.testing.assert_array_equal(found.partitions, partitions)
  np.testing.assert_array_equal(found.embedding, vectors[where])
  np.testing.assert_array_equal(found.primary, problem.pool["primary"][where])
  np.testing.assert_array_equal(found.images, problem.pool["image"][where])


def test_files_of_other_runs_in_a_cache_are_passed_over(tmp_path):
  shared = tmp_path / "shared"
  shared.mkdir()
  _, vectors, partitions = write(tmp_path, cache=str(shared))
  other = {"partition": {"labels": "kmeans"}, "embedding": "another"}
  np.savez(
    shared / "partitions-seed0-ffff.npz",
    partitions=partitions[:, ::-1],
    made_of=np.asarray(json.dumps(other)),
  )
  np.savez(shared / "acai-seed0-ffff.npz", embedding=vectors + 1)
  found = opened_clusters.load(str(tmp_path))
  np.testing.assert_array_equal(found.partitions, partitions)
  np.testing.assert_array_equal(found.embedding, vectors)
  assert [path.rpartition("/")[2] for path in found.files] == [
    "partitions-seed0-4567.npz",
    "pixels-0123.npz",
  ]


def test_without_the_embedding_the_gallery_is_left(tmp_path, capsys):
  write(tmp_path)
  (tmp_path / "cache" / "pixels-0123.npz").unlink()
  out = tmp_path / "out"
  assert clusters.main([f"--workdir={tmp_path}", f"--output={out}"]) == 0
  captured = capsys.readouterr()
  assert captured.out.count("\n") == 1 and "no map of it" in captured.err
  assert [path.name for path in out.iterdir()] == [
    "clusters-seed0-partition1.png"
  ]


def test_what_is_missing_is_said(tmp_path, capsys):
  run = [f"--workdir={tmp_path}"]

  def complaint(*flags):
    assert clusters.main([*run, *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error

  assert "holds no run" in complaint()
  write(tmp_path)
  assert "--partition=3: the run has 1 to 2" in complaint("--partition=3")
  assert "--seed=1: the run has the seeds 0 to 0" in complaint("--seed=1")
  path = tmp_path / "cache" / "partitions-seed0-4567.npz"
  np.savez(path, partitions=np.zeros((2, 7), np.int32))
  assert "has clusters of 7 images" in complaint()
  path.write_bytes(b"PK\x03\x04")
  assert "cannot be read" in complaint()
  path.unlink()
  assert "no partitions of seed 0" in complaint()


def test_a_run_without_clusters_says_so(tmp_path):
  write(tmp_path, **{"partition.labels": "random"})
  (tmp_path / "cache" / "partitions-seed0-4567.npz").unlink()
  with pytest.raises(UserError, match="makes no clusters"):
    opened_clusters.load(str(tmp_path))


def test_a_method_without_clusters_is_named(tmp_path):
  write(tmp_path, method="maxl")
  (tmp_path / "cache" / "partitions-seed0-4567.npz").unlink()
  with pytest.raises(UserError, match=r"'maxl' makes .*one of joint or meta_"):
    opened_clusters.load(str(tmp_path))


def test_largest_clusters_and_their_samples():
  row = np.repeat(np.arange(30), np.arange(1, 31))
  shown = clusters.largest(row)
  assert shown.tolist() == list(range(29, 9, -1))
  picks = clusters.sample(row, 29)
  assert len(set(picks)) == 10 and set(row[picks]) == {29}
  assert len(clusters.sample(row, 3)) == 4


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_images_are_made_displayable(channels):
  images = np.linspace(-2.0, 2.0, 3 * 4 * channels).reshape(3, 2, 2, channels)
  shown = clusters.displayable(images.astype(np.float32))
  assert shown.shape == (3, 2, 2, 3) and shown.dtype == np.uint8
  assert shown.min() == 0 and shown.max() >= 230
  same = clusters.displayable(np.full((1, 2, 2, 1), 7, np.uint8))
  assert (same == 7).all()


def test_projection():
  # Centred columns of lengths 4, 2 and 1: two survive, in this order.
  signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
  found = clusters.project(signs * [4.0, 2.0, 1.0])
  np.testing.assert_allclose(
    np.abs(found), [[4, 2], [4, 2], [4, 2], [4, 2]], atol=1e-12
  )
  assert clusters.project(np.arange(3.0)[:, None])[:, 1].tolist() == [0, 0, 0]
