"""Two hosts decode what their devices keep."""

import shutil

import numpy as np
import pytest
from PIL import Image
from two_hosts import by_slurm, ends, settings_of, started, write_config

from metaaux import train
from metaaux.data import sources
from metaaux.data.sources import digits, split_names
from metaaux.errors import UserError
from metaaux.run.logs import rows as rows_lib


def photographs(home):
  """Files of different pixels; of each split, those of either host.

  Hosts keep the first and the second half, as the source orders them.
  """
  root, halves = home / "photos", ([], [])
  found = digits.load("", split_names.Slice("train"))
  path_of = {}
  for i, image in enumerate(found.images[:60]):
    split = "train" if i < 40 else "test"
    path = root / split / "ab"[i % 2] / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0]).save(path)
    path_of[image.tobytes()] = path.relative_to(home)
  for split in ("train", "test"):
    images = sources.load(f"folder:{root}", split).images
    for row, image in enumerate(images):
      halves[2 * row >= len(images)].append(path_of[image.tobytes()])
  return halves


def without_pixels(path):
  """An image file of the same header and size that cannot be decoded."""
  content = path.read_bytes()
  start = content.index(b"IDAT") + 4
  path.write_bytes(content[:start] + bytes(len(content) - start))


def trained(folder, homes):
  """Statuses and error outputs of a host in each of the two homes."""

  def joining(host):
    flags, variables = by_slurm(host)
    return flags, {**variables, "HOME": str(homes[host])}

  flags = "--config.dataset=folder:~/photos", "--config.labels_per_class=0"
  config = write_config(folder, "single")
  with started(folder, config, *flags, joining=joining) as processes:
    statuses, _, errors = ends(processes)
  return statuses, errors


@pytest.mark.slow
def test_a_host_decodes_what_its_devices_keep(tmp_path):
  """Each host has a copy in which the images of the other have no pixels."""
  whole = tmp_path / "whole"
  halves = photographs(whole)
  homes = tmp_path / "home0", tmp_path / "home1"
  for home, others in zip(homes, reversed(halves), strict=True):
    shutil.copytree(whole, home)
    for path in others:
      without_pixels(home / path)
    with pytest.raises(UserError, match="cannot be decoded"):
      sources.load(f"folder:{home / 'photos'}", "train")
  statuses, errors = trained(tmp_path, homes)
  assert statuses == [0, 0], errors
  settings = settings_of(
    "single",
    dataset=f"folder:{whole / 'photos'}",
    labels_per_class=0,
    parallel="sharding",
  )
  train.train_and_evaluate(settings, str(tmp_path / "here"))
  losses, expected = (
    [row["loss"] for row in rows_lib.read_rows(str(folder / "metrics.jsonl"))]
    for folder in (tmp_path / "run", tmp_path / "here")
  )
  np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.slow
def test_what_one_host_cannot_decode_stops_all(tmp_path):
  path = photographs(tmp_path)[1][3]
  without_pixels(tmp_path / path)
  statuses, errors = trained(tmp_path, (tmp_path, tmp_path))
  assert statuses == [2, 2]
  assert "hosts [1] of 2 have failed; see what they say" in errors[0]
  assert f"{tmp_path / path} cannot be decoded" in errors[1]
  assert not (tmp_path / "run").exists()
