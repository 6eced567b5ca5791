"""ARML on scikit-learn's digits: rotation, exemplar and a task without use.

  python -m metaaux.main --config=configs/arml_digits.py
  python -m metaaux.main --config=configs/arml_digits.py:weighting=uniform
  python -m metaaux.main --config=configs/arml_digits.py:method=single

Primary task: the digit, 50 labelled images of 1,000. Auxiliary tasks: which
way an image is turned; to have features like those of a moving average of the
network on another view; and random labels, which a good rule leaves alone.
weights.png in the run directory shows the weights over time.

Arguments, after the colon and separated by commas:
  runlocal         one seed, 200 steps
  method=          arml | single
  weighting=       arml | uniform | fixed | rlw | adaloss | uncertainty | dwa |
                   gradnorm | cosine_similarity | ol_aux | mgda | cagrad |
                   imtl | pcgrad | nash_mtl | auto_lambda | qp_ema
  labels=          labelled images of all digits together, a multiple of 10
  algorithm=       merged: weights and network together; two_stage: weights
                   first, with Langevin noise
  dropout=         on the flattened features; of every method
  seeds=           number of seeds

Expected with five seeds, one x86-64 core (mean test accuracy and 95% interval):
arml 83.69 ± 3.31 in 49 seconds, weighting=uniform 82.16 ± 3.69 in 35 seconds,
method=single 85.47 ± 2.74 in 10 seconds, and 81.13 ± 2.01 with dropout=0. The
useless task ends at a weight of 0.07; docs/results has the other rules.
"""

import ml_collections

from metaaux import config as config_lib
from metaaux.config.recipes import arml as arml_recipes


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    runlocal=False,
    method="arml",
    weighting="arml",
    labels=50,
    algorithm="merged",
    dropout=0.5,
    seeds=5,
  )
  config = config_lib.base()
  config.dataset = "digits"
  config.primary = "10"
  config.psi = (1,)
  config.method = arg.method
  config.num_seeds = arg.seeds
  config.labels_per_class = arml_recipes.per_class(arg.labels, 10)
  config.batch_size = 32
  config.num_steps = 1000
  config.log_every = 20
  config.eval_every = 250
  config.average_last = 1
  config.gamma = 0.0
  config.model.widths = (16, 32)
  config.model.hidden = 64
  config.model.decoder = "linear"
  config.model.kernel_init = "he_normal"
  config.model.dropout = arg.dropout
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.semi_supervised.tasks = ("rotation", "exemplar", "useless")
  config.semi_supervised.flip = False  # mirrored digits are no digits
  arml_recipes.weighting(config, arg.weighting)
  config.weighting.algorithm = arg.algorithm
  # At ARML's own 0.0125, absolute, weights end at nearly the same.
  config.weighting.eta_mode = "relative"
  config.weighting.eta = 0.1
  if arg.runlocal:
    config.num_seeds = 1
    config.num_steps = 200
    config.eval_every = 100
  return config
