"""A Ray cluster of two nodes with a core each, until its input ends."""

import sys

from ray.cluster_utils import Cluster


def start():
  cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 1, "include_dashboard": False},
  )
  cluster.add_node(num_cpus=1)
  return cluster


try:
  cluster = start()
except Exception:  # Ray gives a node 30 seconds, few on a machine with load.
  cluster = start()
try:
  print(cluster.address, flush=True)
  sys.stdin.read()
finally:
  cluster.shutdown()
