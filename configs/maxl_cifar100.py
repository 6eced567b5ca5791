"""MAXL and its baselines on CIFAR-100's label hierarchy, VGG-16.

  python -m metaaux.main --config=configs/maxl_cifar100.py
  python -m metaaux.main --config=configs/maxl_cifar100.py:method=human
  python -m metaaux.main --config=configs/maxl_cifar100.py:runlocal

Liu, Davison & Johns 2019, section 4: batches of 100, SGD 0.01 halved every 50
of 200 epochs, gamma 2, entropy weight 0.2, accuracy averaged over the last 5
epochs. Needs the data set in TFDS (TFDS_DATA_DIR, or `pip install
'metaaux[tfds]'` to prepare it).

Arguments, after the colon and separated by commas:
  runlocal       10,000 images, a quarter of the width, 800 steps, Adam for
                 the generator, one split for both updates
  method=        maxl | no_entropy | single | uniform | random | human
  primary=, aux= levels 3, 10, 20 or 100; the pair of the paper is 20 and 100
  psi=           free label counts instead of aux, one number or C joined by +
  variant=       paper | code: what the official code does differently; see
                 metaaux.config.set_variant
  seeds=         number of seeds

As in the paper, MAXL holds a tenth of the training images out for the
generator, and the baselines train on all of them. For a paired comparison on
the same images add --config.meta_fraction=0.1 to the baselines.

Full recipe (90,000 steps of MAXL): not yet run.
"""

import ml_collections

from metaaux import config as config_lib

_NUM_EXAMPLES, _BATCH, _EPOCHS = 50_000, 100, 200
_USES_META = ("maxl", "no_entropy")


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg,
    runlocal=False,
    method="maxl",
    primary="20",
    aux="100",
    psi=(),
    variant="paper",
    seeds=1,
  )
  config = config_lib.base()
  config.method = arg.method
  config.dataset = "tfds:cifar100"
  config.primary = arg.primary
  config.aux = "" if arg.psi else arg.aux
  config.psi = arg.psi
  config.num_seeds = arg.seeds
  config.batch_size = _BATCH
  config.model.name = "vgg16"
  config.optimizer.learning_rate = 0.01
  config_lib.set_variant(config, arg.variant, _NUM_EXAMPLES // _BATCH)
  if arg.method not in _USES_META:
    config.meta_fraction = 0.0
  kept = _NUM_EXAMPLES - int(config.meta_fraction * _NUM_EXAMPLES)
  # Where the two updates alternate by epochs, an epoch of both is two passes.
  passes = 2 if config.maxl.alternate_every and arg.method in _USES_META else 1
  epoch = passes * (kept // _BATCH)
  config.num_steps = _EPOCHS * epoch
  config.eval_every = epoch
  config.checkpoint_every = epoch
  for optimizer in (config.optimizer, config.generator.optimizer):
    optimizer.schedule = "step"
    optimizer.decay_every = 50 * epoch
  if arg.runlocal:
    _run_local(config)
  return config


def _run_local(config: ml_collections.ConfigDict) -> None:
  """A size that a laptop finishes in minutes."""
  config.labels_per_class = 500
  config.meta_fraction = 0.0
  config.maxl.alternate_every = 0
  config.model.width = 0.25
  config.num_steps = 800
  config.eval_every = 100
  config.eval_examples = 1000
  config.average_last = 3
  config.log_every = 20
  config.checkpoint_every = 200
  config.optimizer.schedule = "constant"
  config.optimizer.learning_rate = 0.05
  config.generator.optimizer.name = "adam"
  config.generator.optimizer.schedule = "constant"
  config.generator.optimizer.learning_rate = 1e-3
  config.generator.optimizer.l1 = 0.0
  config.generator.optimizer.weight_decay = 0.0
