"""Auxiliary tasks where they help: few labels, many rows without, features.

  python -m metaaux.main --config=configs/features.py
  python -m metaaux.main --config=configs/features.py:method=single
  python -m metaaux.main --config=configs/features.py:data=npz:PATH,clusters=200

Primary task: the classes of the data, five labelled rows a class. Joint
training predicts, beside them, the clusters of all rows: four partitions by
k-means, each of the rows scaled anew. Its control permutes the clusters, and
logistic regression is what one would pick without any of this. On the digits
the clusters are of a spectral embedding; rows of an archive are clustered as
they come. The number of clusters, their weight and the number of steps were
chosen on held-out labels of the digits; docs/features.md has the figures.

Arguments, after the colon and separated by commas:
  runlocal    one seed, 100 steps
  data=       digits | npz:PATH, with x_train float [n, d] and so on
  method=     joint | single | logistic | knn | label_spreading | any other
  control     permuted clusters
  labels=     labelled rows of each class
  held_out=   further labelled rows of each class, to choose settings by
  clusters=   k of each partition
  weight=     of all partitions together, beside the primary loss
  network=    narrow: 512 units | wide: 2,048 units on rows of one length
  steps=      number of steps
  batch=      labelled rows of a step, of all classes; at most as many as there
              are
  seeds=      number of seeds

Expected with twenty seeds on two x86-64 cores (mean test accuracy and 95%
interval): single 86.99 ± 0.94 in 11 seconds, joint 91.66 ± 0.82 in 26, its
control 86.22 ± 0.95, logistic 85.17 ± 0.95, label_spreading 94.30 ± 0.84. Other
data and the wide network: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.errors import UserError


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    runlocal=False,
    data="digits",
    method="joint",
    control=False,
    labels=5,
    held_out=0,
    clusters=10,
    weight=10.0,
    network="narrow",
    steps=1000,
    batch=50,
    seeds=20,
  )
  config = config_lib.base()
  config.method = arg.method
  config.dataset = arg.data
  config.psi = (1,)
  config.labels_per_class = arg.labels
  config.meta_per_class = arg.held_out
  config.num_seeds = 1 if arg.runlocal else arg.seeds
  config.gamma = 0.0
  config.batch_size = arg.batch
  config.num_steps = 100 if arg.runlocal else arg.steps
  config.log_every = 100
  config.eval_every = config.num_steps
  config.checkpoint_every = 0
  config.average_last = 1
  config.inputs.standardise = False
  config.embedding.name = "pixels"
  if arg.data == "digits":
    config.primary = "10"
    config.embedding.name = "spectral"
  config.partition.labels = "permuted" if arg.control else "kmeans"
  config.partition.num_tasks = 4
  config.partition.num_classes = arg.clusters
  config.partition.batch_size = 128
  config.auxiliary_weight = arg.weight / config.partition.num_tasks
  _network(config, arg.network)
  return config


def _network(config: ml_collections.ConfigDict, name: str) -> None:
  """One hidden layer, its dropout, and AdamW with a rate that falls to 0."""
  config.model.name = "mlp"
  config.model.output_norm = 16.0
  config.optimizer.name = "adamw"
  config.optimizer.schedule = "cosine"
  if name == "narrow":
    config.model.widths = (512,)
    config.model.dropout = 0.5
    config.model.input_dropout = 0.5 if config.dataset != "digits" else 0.2
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.01
  elif name == "wide":
    config.model.widths = (2048,)
    config.model.input_norm = 16.0
    config.model.input_dropout = 0.5
    config.model.head_deviation = 0.01
    config.optimizer.learning_rate = 3e-4
    config.optimizer.weight_decay = 0.1
  else:
    raise UserError(f"network={name!r} is unknown; use narrow or wide")
