"""Published numbers, typed once more, and which runs they belong to."""

import pytest

from experiments.papers import lookup as published
from experiments.papers import meta_mtl as paper_tables
from metaaux import config as config_lib


@pytest.mark.parametrize(
  "table, row, column, value",
  [
    (1, "", "STL", 65.72),
    (1, "", "MTL all alphabets", 70.98),
    (1, "", "PTA-F T10", 71.52),
    (1, "", "Meta-MTL T10", 74.80),
    (2, "", "STL", 91.83),
    (2, "", "Co-training", 91.87),
    (2, "", "MTL k-means T4", 92.86),
    (2, "", "PTA-F T10", 91.98),
    (2, "", "Meta-MTL T4", 93.37),
    (2, "", "Meta-MTL T10, unlabelled too", 94.42),
    (3, "CNN", "ACAI fine-tune", 64.94),
    (3, "CNN", "MTL random T4", 70.81),
    (3, "CNN", "Meta-MTL T12", 75.69),
    (3, "CNN, augmented", "PTA-F T4", 72.54),
    (3, "CNN, augmented", "Meta-MTL T12", 79.65),
    (4, "20 C", "MTL k-means", 51.84),
    (4, "20 C", "Meta-MTL T20", 60.39),
    (4, "100 C", "PTA-F T20", 47.43),
    (4, "100 C", "Meta-MTL T8", 47.01),
    (5, "", "PTA-F T4", 34.93),
    (5, "DeepCluster", "Meta-MTL T4, scale mode", 41.07),
    (5, "ACAI", "Embedding fine-tune", 22.90),
    (5, "ACAI", "MTL k-means T4, half mode", 36.98),
    (5, "ACAI", "Meta-MTL T4, half mode", 40.60),
  ],
)
def test_numbers_are_those_of_the_paper(table, row, column, value):
  (number,) = paper_tables.find(table=f"table {table}", row=row, column=column)
  assert (number.value, number.n) == (value, None)
  assert number.metric == "test accuracy (%)"
  assert number.paper == "Gui et al. 2020"


def test_sizes_of_the_tables():
  sizes = [len(paper_tables.find(table=f"table {i}")) for i in (1, 2, 3, 4, 5)]
  assert sizes == [9, 12, 16, 16, 13]
  assert len(set(paper_tables.PUBLISHED)) == len(paper_tables.PUBLISHED)


def test_source_says_where_and_how_many_runs():
  number = paper_tables.find(dataset="mnist", tasks=10, images="all")[0]
  assert paper_tables.source(number) == (
    "Gui et al. 2020, table 2, Meta-MTL T10, unlabelled too; number of runs "
    "not given"
  )
  second_hand = paper_tables.find(dataset="cifar100", value=76.6)[0]
  assert "not checked" in paper_tables.source(second_hand)


MNIST = {"dataset": "tfds:mnist", "labels_per_class": 60}
CIFAR10 = {"dataset": "tfds:cifar10", "partition.images": "train"}
CIFAR100 = {"dataset": "tfds:cifar100", "primary": "20"}
MINI = {"dataset": "npz:/data/mini-ImageNet.npz", "partition.num_tasks": 4}
VGG = {"model.name": "vgg16", "aux": "100"}


@pytest.mark.parametrize(
  "method, changes, value",
  [
    ("single", MNIST, 91.83),
    ("single", {**MNIST, "model.dropout": 0.5}, 91.83),
    ("single", {**MNIST, "labels_per_class": 50}, None),
    ("single", {**MNIST, "select": "parity=odd"}, None),
    ("meta_mtl", {**MNIST, "partition.num_tasks": 10}, 94.42),
    (
      "meta_mtl",
      {**MNIST, "partition.num_tasks": 10, "partition.images": "train"},
      94.22,
    ),
    ("meta_mtl", {**MNIST, "partition.num_tasks": 5}, None),
    ("meta_mtl", {**MNIST, "partition.labels": "permuted"}, None),
    ("meta_mtl", {**MNIST, "meta_mtl.variant": "alternating"}, None),
    ("meta_mtl", {**MNIST, "meta_mtl.variant": "code_torch1"}, 93.76),
    ("meta_mtl", {**MNIST, "meta_mtl.always_main": True}, None),
    ("joint", {**MNIST, "partition.labels": "random"}, 92.27),
    ("joint", MNIST, None),  # of the labelled images alone
    ("joint", {**MNIST, "partition.images": "train"}, 92.86),
    ("pta", {**MNIST, "partition.num_tasks": 10}, 91.98),
    ("self_training", MNIST, 92.20),
    ("co_training", MNIST, 91.87),
    ("fine_tune", MNIST, None),  # embeds what the row may not see
    ("fine_tune", {**MNIST, "partition.images": "train"}, 93.09),
    ("single", CIFAR10, 72.48),
    ("single", {**CIFAR10, "labels_per_class": 500}, None),
    ("single", {**CIFAR10, "train_split": "train[:90%]"}, None),
    ("single", {**CIFAR10, "augment.flip": True}, None),
    ("single", {**CIFAR10, "model.name": "vgg16"}, None),
    ("meta_mtl", {**CIFAR10, "partition.num_tasks": 12}, 75.69),
    ("single", CIFAR100, 55.94),
    ("single", {**CIFAR100, "primary": "100"}, 44.19),
    ("joint", {**CIFAR100, "partition.num_tasks": 7}, 51.84),
    ("maxl", {**CIFAR100, **VGG}, 77.4),
    ("human", {**CIFAR100, **VGG}, 74.6),
    ("maxl", {**CIFAR100, **VGG, "model.width": 0.25}, None),
    ("single", {**CIFAR100, **VGG}, None),
    ("meta_mtl", {**MINI, "embedding.name": "acai"}, 40.43),
    (
      "meta_mtl",
      {
        **MINI,
        "embedding.name": "deepcluster",
        "partition.scaling": "half",
      },
      40.86,
    ),
    ("single", {"dataset": "tfds:omniglot"}, None),
    ("maxl", {"dataset": "digits"}, None),
  ],
)
def test_the_number_of_a_run(method, changes, value):
  config = config_lib.flatten(config_lib.base())
  number = published.of_run(method, {**config, **changes})
  assert (number and number.value) == value


def test_augmented_cifar10_has_its_own_row():
  changes = {**CIFAR10, "augment.flip": True, "augment.grayscale": 0.1}
  assert published.of_run("single", changes).value == 75.91


@pytest.mark.parametrize(
  "source, name",
  [
    ("digits", "digits"),
    ("tfds:cifar10", "cifar10"),
    ("tfds:cifar10_1/v6", "cifar101"),
    ("tfds:mnist:3.0.1", "mnist"),
    ("npz:/data/CIFAR-10.npz", "cifar10"),
    ("folder:pictures/Mini_ImageNet/", "miniimagenet"),
  ],
)
def test_names_of_data_sets(source, name):
  assert published.dataset_of(source) == name


def test_departures_from_the_paper():
  config = {
    "model.dropout": 0.5,
    "model.decoder": "linear",
    "embedding.name": "spectral",
    "partition.num_classes": 0,
    "meta_mtl.variant": "first_order",
  }
  # With one head, the two kinds of decoder are one network.
  assert published.departures("single", config) == ["model.dropout=0.5"]
  assert published.departures("meta_mtl", config) == [
    "model.dropout=0.5",
    "model.decoder=linear",
    "embedding.name=spectral",
    "meta_mtl.variant=first_order",
  ]
  # Equation 3 has T + 1 losses, each with weight 1.
  joint = {"auxiliary_weight": 0.25, "model.dropout": 0.0}
  assert published.departures("joint", joint) == ["auxiliary_weight=0.25"]
  assert not published.departures("joint", {**joint, "auxiliary_weight": 1.0})
  assert not published.departures("meta_mtl", {"auxiliary_weight": 0.25})


SSL = {"dataset": "tfds:cifar10", "labels_per_class": 400}
SVHN = {"dataset": "tfds:svhn_cropped", "labels_per_class": 100}
PACS = {
  "dataset": "npz:/data/pacs.npz",
  "target_domain": "sketch",
  "labels_per_class": 5,
}


@pytest.mark.parametrize(
  "method, changes, value",
  [
    ("single", SSL, 79.74),
    ("arml", SSL, 86.32),
    ("weights:gradnorm", SSL, 85.93),
    ("vat_entmin", SVHN, 94.65),
    ("arml", {**SSL, "labels_per_class": 100}, None),
    ("arml", {**SSL, "train_split": "train[:50%]"}, None),
    ("baseline", PACS, 75.34),
    ("fada:arml", {**PACS, "target_domain": "photo"}, 97.01),
    ("arml", {**PACS, "labels_per_class": 1}, None),
  ],
)
def test_numbers_of_arml(method, changes, value):
  config = config_lib.flatten(config_lib.base()) | changes
  number = published.of_run(method, config)
  assert (number.value if number else None) == value
  if number:
    assert (number.paper, number.n) == ("Shi et al. 2020", 3)
