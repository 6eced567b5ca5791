"""Who says what of a user's images is not read."""

import types

import numpy as np
import pytest
from PIL import Image

from metaaux.errors import UserError
from metaaux.parallel import hosts
from metaaux.run import unread


@pytest.fixture
def config(tmp_path):
  for part in ("train", "test", "val"):
    for name in "ab":
      folder = tmp_path / part / name
      folder.mkdir(parents=True)
      Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "0.png")
  return types.SimpleNamespace(
    dataset=f"folder:{tmp_path}", train_split="train", test_split="test"
  )


def test_images_that_are_not_read(config, capsys):
  unread.report_images(config)
  said = capsys.readouterr().err.splitlines()
  assert len(said) == 1 and "not read: val" in said[0]


def test_another_host_says_nothing_and_does_not_look(
  config, capsys, monkeypatch
):
  """It learns from the first one whether there was an error."""
  told = iter([None, "on the first host: no folder"])
  monkeypatch.setattr(hosts, "count", lambda: 2)
  monkeypatch.setattr(hosts, "is_first", lambda: False)
  monkeypatch.setattr(hosts, "_tell", lambda message: (None, next(told)))
  config.dataset = "folder:/not/there"
  unread.report_images(config)
  unread.report_keys(["own.x"], config)
  assert capsys.readouterr().err == ""
  with pytest.raises(UserError, match="on the first host"):
    unread.report_images(config)
