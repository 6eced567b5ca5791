"""Keys of several tasks beside an auxiliary big task: DAMTL and its rivals."""

from metaaux.config.keys import names
from metaaux.config.keys.key import Group, Key, group, optimizer

_ALIGNED = {"damtl.align": ("linear", "rbf")}
_MASKED = {"damtl.mask": ("weight", "filter")}

_NETWORKS = {
  "mask": Key(
    "weight",
    "Says what a mask has an entry for: each weight, each output channel, or "
    "nothing.",
    choices=("weight", "filter", "none"),
  ),
  "align": Key(
    "linear",
    "Names the kernel that aligns tasks with the auxiliary network.",
    choices=("linear", "rbf", "none"),
  ),
  "source": Key(
    "per_task",
    "Says which kernels the masks act on: a copy for each task, those of the "
    "auxiliary network, or one copy that all tasks train.",
    choices=("per_task", "frozen", "shared"),
    methods=("separate", "transfer", "damtl"),
  ),
  "start": Key(
    "auxiliary",
    "Says what networks start from: all of the auxiliary network, its "
    "convolutions, or random numbers.",
    choices=("auxiliary", "convolutions", "random"),
    methods=names.FROM_BIG_TASK,
  ),
  "task_weight": Key(
    0.01,
    "Multiplies the loss of each task, alpha.",
    low=0.0,
    methods=names.SEVERAL_TASKS,
  ),
  "sparsity": Key(
    0.9, "Multiplies the L1 norm of the masks, lambda 1.", low=0.0, when=_MASKED
  ),
  "alignment": Key(
    0.9,
    "Multiplies the distance to the auxiliary network, lambda 2.",
    low=0.0,
    when=_ALIGNED,
  ),
  "pairing": Key(
    "crossfed",
    "Says what of the auxiliary network a task is aligned with: its layers on "
    "the task's features, its features of the same images, or of images of the "
    "big task.",
    choices=("crossfed", "paired", "twosample"),
    when=_ALIGNED,
  ),
  "align_layer": Key(
    "relu",
    "Says whether layers are aligned after the ReLU or before it.",
    choices=("relu", "affine"),
    when=_ALIGNED,
  ),
  "align_classes": Key(
    "own",
    "Says which classes means are taken of: the task's, or as many that are "
    "drawn once for each image, the control.",
    choices=("own", "random"),
    when=_ALIGNED,
  ),
  "stop_inputs": Key(
    False, "Lets the alignment move dense layers only.", when=_ALIGNED
  ),
  "auxiliary_weight": Key(
    0.0,
    "Multiplies the loss of the big task, whose network goes on learning; 0 "
    "freezes it.",
    low=0.0,
  ),
  "penalty": Key(
    "mean",
    "Says how the entries of a layer's mask are penalised.",
    choices=("mean", "sum"),
    when=_MASKED,
  ),
  "reduction": Key(
    "sum",
    "Says how the cross-entropies of a batch are joined.",
    choices=("sum", "mean"),
    methods=names.SEVERAL_TASKS,
  ),
  "mask_spread": Key(
    0.1,
    "Draws the first masks from U(1 - spread, 1 + spread).",
    low=0.0,
    high=1.0,
    when=_MASKED,
  ),
  "auxiliary_steps": Key(
    0,
    "Counts the updates of the auxiliary network; 0 takes num_steps.",
    low=0,
    methods=names.FROM_BIG_TASK,
  ),
}

_UNITS = {
  "tower_steps": Key(
    0,
    "Counts the updates of each tower alone; 0 takes num_steps.",
    low=0,
  ),
  "unit_rate": Key(
    1.0, "Multiplies the towers' learning rate for the units.", low=0.0
  ),
  "unit_channels": Key(
    False, "Gives each channel a matrix of its own.", methods=("cross_stitch",)
  ),
  "unit_norm": Key(
    True, "Puts batch norm and ReLU after each unit.", methods=("nddr",)
  ),
}

GROUPS: tuple[Group, ...] = (
  group("DAMTL", "damtl.", _NETWORKS, methods=("damtl",)),
  optimizer(
    "Optimiser of the auxiliary network",
    "damtl.optimizer.",
    0.01,
    names.FROM_BIG_TASK,
  ),
  group(
    "Units between the networks of tasks",
    "damtl.",
    _UNITS,
    methods=names.STITCHED,
  ),
)
