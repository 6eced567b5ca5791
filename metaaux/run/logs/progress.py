"""Shows how far training is: a bar on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm

from metaaux import messages
from metaaux.run.logs import waiting


def _takes_a_bar(stream: messages.Tolerant) -> bool:
  """Whether a line can be written over: on a terminal, and in a notebook."""
  while isinstance(stream, messages.Tolerant):
    if stream.isatty():
      return True
    stream = stream.within
  return type(stream).__module__ == "ipykernel.iostream"


class Progress:
  """A progress bar on a terminal or in a notebook, plain lines elsewhere.

  Both say how much time is left, and go to stderr.
  """

  def __init__(self, label: str, start: int, total: int) -> None:
    """Shows `start` of `total` steps under `label`."""
    self._label, self._total, self._last = label, total, start
    self._began: tuple[int, float] | None = None
    self._bar = None
    self._stream = messages.Tolerant(sys.stderr)
    if _takes_a_bar(self._stream):
      self._bar = tqdm(
        desc=label,
        initial=start,
        total=total,
        unit="step",
        file=self._stream,
      )

  def begin(self, step: int) -> None:
    """Starts to count time, with `step` steps done.

    The time before went into compiling, and says nothing of what is left.
    """
    self._began = step, time.monotonic()

  def show(self, step: int, text: str, reached: int = 0) -> None:
    """Moves to `step` and shows a short text beside it.

    Args:
      step: the step that the text describes.
      text: such as a loss.
      reached: steps done by now, if they are more.
    """
    if self._bar is None:
      line = f"{self._label} {step}/{self._total} {text}".rstrip()
      messages.say(line + self._left(max(step, reached)))
    else:
      self._bar.set_postfix_str(text, refresh=False)
      self._bar.update(step - self._last)
    self._last = step

  def _left(self, step: int) -> str:
    """` (12 min left)`; "" where that is not known, or nothing is left."""
    if self._began is None or not self._began[0] < step < self._total:
      return ""
    first, then = self._began
    each = (time.monotonic() - then) / (step - first)
    return f" ({waiting.duration(each * (self._total - step))} left)"

  @contextlib.contextmanager
  def waiting(self, what: str) -> Iterator[None]:
    """Says that `what` goes on, and for how long, if the block takes seconds.

    A bar shows it beside itself; elsewhere there is a line now and then, and a
    last one with the whole time.
    """
    bar, place = self._bar, f"{self._label} {self._last}/{self._total}"

    def show(text: str) -> None:
      if bar is None:
        messages.say(f"{place} {text}")
      else:
        bar.set_postfix_str(text)

    def tell(seconds: float) -> None:
      show(f"{what} ... {waiting.duration(seconds)} so far")

    def finish(seconds: float) -> None:
      show(f"{what} took {waiting.duration(seconds)}")

    times = waiting.plain_times() if bar is None else waiting.live_times()
    with waiting.watched(tell, finish, times):
      yield

  def note(self, text: str) -> None:
    """Prints a line without disturbing the bar."""
    if self._bar is None:
      messages.say(text)
    else:
      # The bar moves out of the way of its own stream alone.
      self._bar.write(text, file=self._stream)

  def close(self) -> None:
    """Ends the bar's line."""
    if self._bar is not None:
      self._bar.close()
