"""Keys of MAXL: its generator, virtual steps and label entropy."""

from metaaux.config.keys import names
from metaaux.config.keys.key import Group, Key, group, optimizer

_INNER = {
  "learning_rate": Key(
    0.0,
    "Sets the rate of the virtual step; 0 takes that of optimizer at the step.",
    low=0.0,
    methods=(*names.BILEVEL, "meta_mtl"),
  ),
  "num_steps": Key(
    1,
    "Counts the virtual steps.",
    low=1,
    high=1000,
    methods=(*names.BILEVEL, "meta_mtl"),
  ),
  "estimator": Key(
    "exact",
    "Names how the hypergradient is taken: exact, remat (less memory), "
    "finite_difference or neumann.",
    methods=names.BILEVEL,
  ),
}

_MAXL = {
  "entropy_weight": Key(
    0.2,
    "Multiplies the entropy term of the generator's loss.",
    low=0.0,
    methods=("maxl",),
  ),
  "entropy_mean": Key(
    "batch",
    "Says which mean label the entropy term reads: of the batch or a running "
    "one.",
    choices=("batch", "running"),
  ),
  "centre_hypergradient": Key(
    False,
    "Removes from the label gradient what the examples of a class share, and "
    "scales it to unit size.",
  ),
  "inner_batch": Key(
    "meta",
    "Names the batch that the virtual step is taken on.",
    choices=("meta", "train"),
  ),
  "alternate_every": Key(
    0,
    "Counts the steps that each of both updates has in turn; 0 makes both in "
    "each step.",
    low=0,
  ),
  "meta_updates_statistics": Key(
    False, "Lets outer updates move the running statistics of batch norm, too."
  ),
}

GROUPS: tuple[Group, ...] = (
  optimizer(
    "Optimiser of MAXL's generator",
    "generator.optimizer.",
    0.001,
    names.BILEVEL,
  ),
  group("Virtual steps", "inner.", _INNER),
  group("MAXL", "maxl.", _MAXL, methods=names.BILEVEL),
)
