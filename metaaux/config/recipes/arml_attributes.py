"""Training settings of ARML on binary attributes (Shi et al. 2020)."""

import ml_collections

# Arguments of configs/arml_celeba.py and configs/arml_cifar100.py.
ARGUMENTS = {
  "runlocal": False,
  "method": "arml",
  "weighting": "arml",
  "labels": 0.01,
  "seeds": 3,
}


def attributes(
  config: ml_collections.ConfigDict, arg: ml_collections.ConfigDict
) -> None:
  """What both data sets share: tasks and labels.

  Args:
    config: set in place.
    arg: parsed arguments, with the names of `ARGUMENTS` and `attribute`.
  """
  config.method = arg.method
  config.num_seeds = 1 if arg.runlocal else arg.seeds
  config.primary = arg.attribute
  config.label_fraction = arg.labels if arg.labels < 1 else 0.0
  config.gamma = 0.0
  config.setting = "attributes"
  config.weighting.name = arg.weighting


def celeba(config: ml_collections.ConfigDict, *, num_examples: int) -> None:
  """Shi et al. 2020, section "Multi-label classification", on CelebA.

  ResNet-18, 90 epochs of SGD at 0.1, a tenth of it after every 30, batches of
  256 of which half have the primary label. Left open by the paper and ours:
  that half, momentum 0.9, weight decay 1e-4, the size of images, mirroring, and
  ARML's rate: 0.05 over the sum of the squared norms of all gradients, at every
  20th step. An epoch is as many steps as there are batches of 256 in the
  training images.

  Args:
    config: set in place.
    num_examples: training images.
  """
  epoch = num_examples // 256
  config.batch_size = 128
  config.num_steps = 90 * epoch
  config.log_every = 100
  config.eval_every = 5 * epoch
  config.checkpoint_every = 5 * epoch
  config.average_last = 1
  config.augment.flip = True
  config.model.name = "resnet18"
  config.model.kernel_init = "he_normal"
  config.optimizer.learning_rate = 0.1
  config.optimizer.momentum = 0.9
  config.optimizer.weight_decay = 1e-4
  config.optimizer.schedule = "step"
  config.optimizer.decay_every = 30 * epoch
  config.optimizer.decay_factor = 0.1
  if config.weighting.name == "arml":
    config.weighting.eta = 0.05
    config.weighting.eta_mode = "relative"


def celeba_run_local(config: ml_collections.ConfigDict) -> None:
  """A size that a laptop finishes in minutes; call it after `celeba`.

  Args:
    config: set in place.
  """
  config.train_split = "train[:2000]"
  config.test_split = "test[:1000]"
  config.image_side = 32
  if config.label_fraction:
    config.label_fraction = max(config.label_fraction, 0.1)
  config.batch_size = 32
  config.num_steps = 200
  config.log_every = 20
  config.eval_every = 100
  config.eval_examples = 1000
  config.checkpoint_every = 100
  config.model.width = 0.25
  config.optimizer.learning_rate = 0.02
  config.optimizer.schedule = "constant"


def small(config: ml_collections.ConfigDict) -> None:
  """A small network and some 1,500 steps of Adam, for one core.

  ARML's rate is that of its code, 0.0125 on losses that are not scaled. In
  terms of the gradients, the 0.05 of `celeba` would hardly move the weights in
  so few steps, and cost half as much time again.

  Args:
    config: set in place.
  """
  config.batch_size = 64
  config.num_steps = 1500
  config.log_every = 50
  config.eval_every = 500
  config.eval_examples = 1000
  config.checkpoint_every = 500
  config.average_last = 1
  config.augment.flip = True
  config.model.name = "convnet"
  config.model.widths = (16, 32, 64)
  config.model.kernels = (3, 3, 3)
  config.model.hidden = 0
  config.model.batch_norm = True
  config.model.kernel_init = "he_normal"
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.optimizer.schedule = "cosine"
