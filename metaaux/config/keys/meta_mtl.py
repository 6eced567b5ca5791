"""Keys of embeddings and clusters, of Meta-MTL and of pseudo-labels."""

from metaaux.config.keys import names
from metaaux.config.keys.key import Group, Key, group

_ACAI = {"embedding.name": ("acai",)}
_DEEPCLUSTER = {"embedding.name": ("deepcluster",)}
_TRAINED = {"embedding.name": ("acai", "deepcluster")}
_CODE = {"meta_mtl.variant": ("code_torch1", "code_torch2")}

_EMBEDDING = {
  "name": Key(
    "spectral",
    "Names what makes a vector of each image.",
    choices=("pixels", "pca", "spectral", "acai", "deepcluster", "file"),
  ),
  "path": Key(
    "",
    "Names a .npy or .npz file with a vector for each training image.",
    when={"embedding.name": ("file",)},
  ),
  "dim": Key(
    0,
    "Counts the dimensions; 0 takes 64 (pca), 20 (spectral) or 256 "
    "(deepcluster).",
    low=0,
    when={"embedding.name": ("pca", "spectral", "deepcluster")},
  ),
  "whiten": Key(
    False,
    "Scales each dimension to unit variance.",
    when={"embedding.name": ("pca",)},
  ),
  "neighbours": Key(
    15,
    "Counts the neighbours of an image in the graph.",
    low=1,
    when={"embedding.name": ("spectral",)},
  ),
  "num_steps": Key(
    0,
    "Counts the updates; 0 takes 20 passes (acai) or a pass an epoch "
    "(deepcluster).",
    low=0,
    when=_TRAINED,
  ),
  "batch_size": Key(
    64, "Counts the images of a batch over all devices.", low=1, when=_TRAINED
  ),
  "learning_rate": Key(
    0.0,
    "Sets the learning rate; 0 takes 1e-4 (acai) or 0.05 (deepcluster).",
    low=0.0,
    when=_TRAINED,
  ),
  "width": Key(
    16, "Counts the channels of the first layers.", low=1, when=_ACAI
  ),
  "latent": Key(
    0,
    "Counts the channels of the latent; 0 makes it a third of the image.",
    low=0,
    when=_ACAI,
  ),
  "features": Key(
    512,
    "Counts the units of the last layer before the clusters.",
    low=1,
    when=_DEEPCLUSTER,
  ),
  "clusters": Key(
    0,
    "Counts the clusters; 0 makes one for 20 images, at most 500.",
    low=0,
    when=_DEEPCLUSTER,
  ),
  "epochs": Key(
    20, "Counts the clusterings of a training.", low=1, when=_DEEPCLUSTER
  ),
}

_PARTITION = {
  "labels": Key(
    "kmeans",
    "Names the labels of auxiliary tasks: clusters, the same permuted, random "
    "or human ones.",
    choices=("kmeans", "permuted", "random", "human"),
  ),
  "images": Key(
    "all",
    "Says which images are embedded and clustered: all, or the labelled ones.",
    choices=("all", "train"),
    methods=("fine_tune", *names.CLUSTERED),
  ),
  "num_tasks": Key(
    4,
    "Counts the auxiliary tasks, and the decoders of pta.",
    low=1,
    high=1000,
    methods=("pta", *names.CLUSTERED),
  ),
  "num_classes": Key(
    0,
    "Counts the classes of a task; 0 takes as many as the primary task has.",
    low=0,
  ),
  "batch_size": Key(
    0,
    "Counts the examples of a batch of the auxiliary tasks; 0 takes "
    "batch_size.",
    low=0,
    methods=("joint",),
  ),
  "scaling": Key(
    "uniform",
    "Says how each task's copy of the embedding is scaled: by random numbers, "
    "to a random half of its dimensions, or not.",
    choices=("uniform", "half", "none"),
  ),
  "restarts": Key(
    1,
    "Counts the runs of k-means, of which the tightest counts.",
    low=1,
    high=1000,
    methods=("kmeans", *names.CLUSTERED),
  ),
}

_META_MTL = {
  "variant": Key(
    "paper_second_order",
    "Names the update of an episode.",
    choices=(
      "paper_second_order",
      "first_order",
      "code_torch1",
      "code_torch2",
      "alternating",
    ),
  ),
  "tasks_per_step": Key(
    1,
    "Counts the episodes whose mean gradient moves the shared network.",
    low=1,
    high=1000,
  ),
  "always_main": Key(
    False, "Adds an episode of the primary task to each step."
  ),
  "decoder_learning_rate": Key(
    0.0,
    "Sets the learning rate of decoders; 0 takes inner.learning_rate.",
    low=0.0,
  ),
  # Of all updates of the official code but the last, which is by `optimizer`.
  "code_momentum": Key(
    0.0,
    "Sets the momentum of the official code's first updates.",
    low=0.0,
    high=1.0,
    when=_CODE,
  ),
  "code_weight_decay": Key(
    0.0,
    "Scales an L2 penalty in the official code's first updates.",
    low=0.0,
    when=_CODE,
  ),
  "code_clip_norm": Key(
    0.0,
    "Bounds the norm of each gradient of the official code; 0 does not clip.",
    low=0.0,
    when=_CODE,
  ),
}

_PSEUDO_LABELS = {
  "rounds": Key(
    5, "Counts the rounds, each with new pseudo-labels.", low=1, high=100
  ),
  "confidence": Key(
    0.95,
    "Gives the probability from which a prediction becomes a label.",
    low=0.0,
    high=1.0,
  ),
}

GROUPS: tuple[Group, ...] = (
  group(
    "Embedding of images", "embedding.", _EMBEDDING, methods=names.EMBEDDED
  ),
  group("Clusters", "partition.", _PARTITION, methods=names.CLUSTERED),
  group("Meta-MTL", "meta_mtl.", _META_MTL, methods=("meta_mtl",)),
  group(
    "Pseudo-labels",
    "pseudo_labels.",
    _PSEUDO_LABELS,
    methods=("self_training", "co_training"),
  ),
)
