"""What a user gives and a run does not read: images, and keys of one's own."""

from collections.abc import Sequence
from typing import Any

from metaaux import data, messages
from metaaux.config import user_code
from metaaux.parallel import hosts


def report_images(config: Any) -> None:
  """Says on the first host which images of a folder are not read.

  Raises:
    UserError: the folder or a split is wrong; on all hosts.
  """

  def report() -> None:
    splits = config.train_split, config.test_split
    for line in data.unread(config.dataset, *splits):
      messages.warn(line)

  hosts.on_first(report)


def report_keys(keys: Sequence[str], config: Any) -> None:
  """Says on the first host which keys of the config's `own` have no effect.

  Args:
    keys: that nobody has read.
    config: of the run.
  """
  if keys and hosts.is_first():
    readers = ", ".join(user_code.used(config)) or "nothing but the package"
    messages.warn(
      f"nobody reads {', '.join(keys)}: what runs here is {readers}; check the "
      "spelling, or leave out what has no effect"
    )
