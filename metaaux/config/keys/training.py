"""Keys of networks, losses and optimisers."""

from metaaux.config.keys import names
from metaaux.config.keys.key import Group, Key, group, optimizer

_CONVNET = {"model.name": ("convnet",)}
_WIDE = {"model.name": ("wide_resnet",)}
_MLP = {"model.name": ("mlp",)}

_MODEL = {
  "name": Key(
    "convnet",
    "Names the network: convnet, mlp, vgg16, wide_resnet, resnet18 or "
    "resnet50.",
    own_code=True,
  ),
  # Not by the name of the network: those of several tasks multiply, too.
  "width": Key(
    1.0,
    "Multiplies the channels of all layers but those of a convnet of one task.",
    low=1e-3,
    high=100.0,
  ),
  "depth": Key(
    28,
    "Counts the layers of a wide_resnet, 6 n + 4.",
    low=10,
    high=1000,
    when=_WIDE,
  ),
  "norm_momentum": Key(
    0.999,
    "Gives the share that running statistics of batch norm keep at a step; at "
    "0.999 they need thousands of steps.",
    low=0.0,
    high=1.0,
    when=_WIDE,
  ),
  "norm_epsilon": Key(
    1e-3,
    "Adds so much to the variances of batch norm.",
    low=1e-8,
    high=1.0,
    when=_WIDE,
  ),
  "stem": Key(
    "auto",
    "Says how a resnet begins: for large or for small images; auto goes by "
    "their side.",
    choices=("auto", "imagenet", "small"),
    when={"model.name": ("resnet18", "resnet50")},
  ),
  "lowering": Key(
    "auto",
    "Says how convolutions are computed, the same but for rounding; auto takes "
    "the quickest known.",
    choices=("auto", "fast", "short", "native"),
    affects_result=False,
  ),
  "widths": Key(
    (32, 64),
    "Counts the channels of each convolution of a convnet, the units of each "
    "hidden layer of an mlp.",
    low=1,
    item=int,
    when={"model.name": ("convnet", "mlp")},
  ),
  "kernels": Key(
    (3, 3),
    "Gives the side in pixels of each convolution's kernel.",
    low=1,
    item=int,
    when=_CONVNET,
  ),
  "padding": Key(
    "SAME",
    "Says whether convolutions keep the size of images or shrink it.",
    choices=("SAME", "VALID"),
    when=_CONVNET,
  ),
  "hidden": Key(
    128,
    "Counts the units of a convnet's hidden layer; 0 makes none.",
    low=0,
    when=_CONVNET,
  ),
  "batch_norm": Key(
    False,
    "Normalises each convolution of a convnet by its batch.",
    when=_CONVNET,
  ),
  "decoder": Key(
    "hidden",
    "Says what a head is: a hidden layer of its own and logits, or logits "
    "alone on a hidden layer that heads share.",
    choices=("hidden", "linear"),
    when={"model.name": ("convnet", "vgg16")},
  ),
  "dropout": Key(
    0.0, "Drops this share of the flattened features.", low=0.0, high=0.99
  ),
  "block_dropout": Key(
    0.0,
    "Drops this share of the features after each pooling.",
    low=0.0,
    high=0.99,
  ),
  "kernel_init": Key(
    "glorot_uniform",
    "Names the distribution that kernels are drawn from.",
    choices=("glorot_uniform", "glorot_normal", "he_normal", "he_fan_out"),
  ),
  "head_deviation": Key(
    0.0,
    "Gives the standard deviation of the heads' initial kernels; 0 draws them "
    "as the others.",
    low=0.0,
    high=100.0,
  ),
  "form": Key(
    "relu",
    "Says what an mlp is: layers with ReLU, without (a linear adapter), or "
    "what they add to the input (a residual adapter).",
    choices=("relu", "linear", "residual"),
    when=_MLP,
  ),
  "layer_norm": Key(
    False, "Normalises each hidden layer of an mlp.", when=_MLP
  ),
  "input_norm": Key(
    0.0,
    "Scales the rows that an mlp reads to this length; 0 leaves them.",
    low=0.0,
    high=1e6,
    when=_MLP,
  ),
  "output_norm": Key(
    0.0,
    "Scales the rows that the heads of an mlp read to this length; 0 leaves "
    "them.",
    low=0.0,
    high=1e6,
    when=_MLP,
  ),
  "input_dropout": Key(
    0.0,
    "Drops this share of the input of an mlp.",
    low=0.0,
    high=0.99,
    when=_MLP,
  ),
}

_LOSSES = {
  "gamma": Key(
    2.0,
    "Gives the exponent of the focal loss; 0 makes it the cross-entropy.",
    low=0.0,
    high=10.0,
    methods=tuple(name for name in names.ONE_TASK if name in names.TRAINED),
  ),
  "auxiliary_weight": Key(
    1.0,
    "Multiplies the auxiliary loss.",
    low=0.0,
    methods=("joint", *names.LABELLED),
  ),
}

GROUPS: tuple[Group, ...] = (
  group("Network", "model.", _MODEL, methods=names.TRAINED),
  group("Losses", "", _LOSSES),
  optimizer("Optimiser", "optimizer.", 0.1, names.TRAINED),
)
