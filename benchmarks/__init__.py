"""Speed and memory of metaaux, each beside a peer in the same run.

Every contestant runs in a process of its own, so that neither waits in the
other's thread pools nor counts in its memory. The two processes take turns:
while one works the other sleeps on its standard input.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping

Run = Callable[[], None]


def serve(contestants: Mapping[str, Callable[[], Run]]) -> None:
  """Runs contestants by name, as standard input asks, until it is closed.

  A line "NAME REPEATS" is answered by one JSON object of lists `wall` and
  `cpu`, milliseconds of each repeat, and `rss`, the largest resident set of
  this process so far in MiB.

  Args:
    contestants: each prepares, when first asked for, what then runs one step
      to its end.
  """
  prepared = {}
  for line in sys.stdin:
    name, repeats = line.split()
    if name not in prepared:
      prepared[name] = contestants[name]()
    walls, cpus = [], []
    for _ in range(int(repeats)):
      wall, cpu = time.perf_counter(), time.process_time()
      prepared[name]()
      walls.append(1e3 * (time.perf_counter() - wall))
      cpus.append(1e3 * (time.process_time() - cpu))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer = {"wall": walls, "cpu": cpus, "rss": rss}
    print(json.dumps(answer), flush=True)
