"""ARML and FADA on PACS: a few labels of one domain, three others as tasks.

  python -m metaaux.main --config=configs/arml_pacs.py:data=PATH
  python -m metaaux.main --config=configs/arml_pacs.py:data=PATH,mode=baseline
  python -m metaaux.main --config=configs/arml_pacs.py:data=PATH,method=fada

PATH is an .npz file with `x` uint8 [n, H, W, 3], `y`, `domain` and perhaps
`domain_names` and `y_names`; or a folder PATH/DOMAIN/CLASS of image files.
The primary task is the class in the target domain; the rest of that domain is
the test set.

Arguments, after the colon and separated by commas:
  runlocal         a small network on half the resolution, 400 steps, one seed
  data=            path of the data
  target_domain=   sketch | art_painting | cartoon | photo
  mode=            joint: the target's labels are trained on; baseline: they
                   only guide the weights
  method=          arml | fada | single
  weighting=       rule for the weights, such as arml | uniform; that of fada is
                   uniform if none is given
  labels=          labelled images of each class of the target
  dropout=         on the features; of every method
  seeds=           number of seeds; 0: three, with runlocal one

The paper starts from a network trained on ImageNet; this starts from random
weights. ResNet-18 at full size: not yet run.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import arml as arml_recipes
from metaaux.config.recipes import maxl as maxl_recipes
from metaaux.errors import UserError

# Steps of an epoch: a pass over the images that train on the three sources, in
# batches of 128, by the target.
_EPOCHS = {"sketch": 43, "art_painting": 56, "cartoon": 54, "photo": 59}


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    runlocal=False,
    data="pacs.npz",
    target_domain="sketch",
    mode="joint",
    method="arml",
    weighting="",
    labels=5,
    dropout=0.0,
    seeds=0,
  )
  if arg.mode not in ("joint", "baseline"):
    raise UserError(f"mode={arg.mode!r} is unknown; use joint or baseline")
  config = config_lib.base()
  config.dataset = maxl_recipes.source_at(arg.data)
  config.train_split = config.test_split = "all"
  config.target_domain = arg.target_domain
  config.setting = "domains"
  config.method = arg.method
  config.primary_weight = float(arg.mode == "joint")
  config.num_seeds = arg.seeds or (1 if arg.runlocal else 3)
  config.labels_per_class = arg.labels
  # All labelled images of the target, 128 at most, and 42 of each source.
  config.batch_size = min(7 * arg.labels, 128)
  config.domains.batch_size = 42
  config.gamma = 0.0
  epoch = _EPOCHS.get(arg.target_domain, 55)
  config.num_steps = 100 * epoch
  config.eval_every = 10 * epoch
  config.checkpoint_every = 10 * epoch
  config.average_last = 1
  config.augment.flip = True
  config.augment.shift = 0.1
  config.model.name = "resnet18"
  config.model.kernel_init = "he_fan_out"
  config.model.dropout = arg.dropout
  config.optimizer.learning_rate = 1e-3
  # The paper leaves momentum and decay open.
  config.optimizer.momentum = 0.9
  config.optimizer.weight_decay = 5e-4
  config.optimizer.schedule = "step"
  config.optimizer.decay_every = 80 * epoch
  config.optimizer.decay_factor = 0.1
  default = "uniform" if arg.method == "fada" else "arml"
  arml_recipes.weighting(config, arg.weighting or default)
  if arg.runlocal:
    _run_local(config)
  if arg.method == "fada":
    config.domains.batch_size = 0  # pairs are of one size
  return config


def _run_local(config: ml_collections.ConfigDict) -> None:
  """A size that a laptop finishes in minutes."""
  config.shrink = 2
  config.domains.batch_size = 32
  config.num_steps = 400
  config.log_every = 20
  config.eval_every = 200
  arml_recipes.small_network(config)
  config.model.widths = (32, 64, 64)
  config.model.kernels = (3, 3, 3)
  config.optimizer.momentum = 0.0
  config.optimizer.weight_decay = 0.0
