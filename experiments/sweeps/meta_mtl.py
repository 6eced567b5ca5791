"""The tables of Meta-MTL (Gui et al. 2020), a row of the sweep for each cell.

  metaaux sweep --sweep=meta_mtl:table=2
  metaaux sweep --sweep=meta_mtl:runlocal

Table 1 is Omniglot, the mean over 50 alphabets; 2 MNIST with 1% of the labels;
3 CIFAR-10, plain and augmented; 4 CIFAR-100, 20 and 100 classes; 5
miniImageNet. Networks, embeddings and clusters are the paper's. Beside its rows
stand permuted labels, the control of every claim, and joint training on
clusters thrice: with the paper's weights, 1 for each of the T + 1 losses (its
equation 3), once at the rate of all other rows and once at 2 / (T + 1) of that,
which makes up for the larger sum; and with weights of 1 / T. Runs that share a
folder --config.cache=DIR compute an embedding once.

Arguments, after the colon and separated by commas:
  table=     1 to 5; 0: all
  path=      folder of miniImageNet's class folders
  runlocal   one seed, 200 steps, small embeddings
  seeds=     number of seeds; of each alphabet one

Full size: not yet run.
"""

from collections.abc import Mapping

from metaaux import config as config_lib
from metaaux.config.space import Point, Points, axis, chain, product
from metaaux.errors import UserError

TABLE: Mapping[str, tuple[str, ...]] = {"omniglot": ("--mean_over=select",)}

# As TFDS spells them.
ALPHABETS = (
  "Alphabet_of_the_Magi",
  "Angelic",
  "Anglo-Saxon_Futhorc",
  "Arcadian",
  "Armenian",
  "Asomtavruli_(Georgian)",
  "Atemayar_Qelisayer",
  "Atlantean",
  "Aurek-Besh",
  "Avesta",
  "Balinese",
  "Bengali",
  "Blackfoot_(Canadian_Aboriginal_Syllabics)",
  "Braille",
  "Burmese_(Myanmar)",
  "Cyrillic",
  "Early_Aramaic",
  "Futurama",
  "Ge_ez",
  "Glagolitic",
  "Grantha",
  "Greek",
  "Gujarati",
  "Gurmukhi",
  "Hebrew",
  "Inuktitut_(Canadian_Aboriginal_Syllabics)",
  "Japanese_(hiragana)",
  "Japanese_(katakana)",
  "Kannada",
  "Keble",
  "Korean",
  "Latin",
  "Malay_(Jawi_-_Arabic)",
  "Malayalam",
  "Manipuri",
  "Mkhedruli_(Georgian)",
  "Mongolian",
  "N_Ko",
  "Ojibwe_(Canadian_Aboriginal_Syllabics)",
  "Old_Church_Slavonic_(Cyrillic)",
  "Oriya",
  "Sanskrit",
  "Sylheti",
  "Syriac_(Estrangelo)",
  "Syriac_(Serto)",
  "Tagalog",
  "Tengwar",
  "Tibetan",
  "Tifinagh",
  "ULOG",
)


def _of(method: str, *axes: Points) -> list[Point]:
  return product({":method": method}, *axes)


def _tasks(*counts: int) -> list[Point]:
  return axis(":num_tasks", counts)


def joint(tasks: int, rate: float, *axes: Points) -> list[Point]:
  """The paper's MTL on random labels and on clusters, and two fairer forms.

  Args:
    tasks: T.
    rate: of the config.
    axes: what else tells the runs on clusters.
  """
  weights = {"auxiliary_weight": 1.0}
  fair = {**weights, "optimizer.learning_rate": rate * 2 / (tasks + 1)}
  clusters = [{":labels": "kmeans"}, *axes]
  return chain(
    _of("joint", _tasks(tasks), {":labels": "random"}, weights),
    _of("joint", _tasks(tasks), *clusters, chain(weights, fair)),
    _of("joint", _tasks(tasks), *clusters),
  )


def _common(few: int, many: int, *, rate: float, tasks: int = 4) -> list[Point]:
  """The columns that tables 1, 3 and 4 share."""
  return chain(
    {":method": "single"},
    {":method": "fine_tune"},
    joint(tasks, rate),
    _of("pta", _tasks(few, many)),
    _of("meta_mtl", _tasks(few, many), axis(":labels", ["kmeans", "permuted"])),
  )


def _omniglot() -> list[Point]:
  file = {"config": "configs/meta_mtl_omniglot.py"}
  return chain(
    product(
      file,
      {"group": "omniglot", ":embedding": "acai"},
      axis(":alphabet", ALPHABETS),
      _common(4, 10, rate=0.1),
    ),
    # One network for all of them cannot be averaged with networks for each.
    product(
      file,
      {"group": "omniglot_all", ":alphabet": "all"},
      _of("single"),
    ),
  )


def _mnist() -> list[Point]:
  labelled = {"partition.images": "train"}
  return product(
    {"config": "configs/meta_mtl_mnist.py"},
    {":embedding": "acai", ":decoder": "hidden", ":dropout": 0.0},
    {":num_classes": 0},
    chain(
      axis(":method", ["single", "self_training", "co_training"]),
      # As the clusters of all rows without a dagger, so the embedding.
      _of("fine_tune", labelled),
      product(joint(4, 0.1), labelled),
      _of("pta", _tasks(4, 10)),
      _of(
        "meta_mtl", _tasks(4, 10), axis("partition.images", ["train", "all"])
      ),
      _of("meta_mtl", _tasks(4, 10), {":labels": "permuted"}),
    ),
  )


def _cifar10() -> list[Point]:
  augmented = {"group": "cifar10_augmented", ":flip": True, ":grayscale": 0.1}
  return product(
    {"config": "configs/meta_mtl_cifar10.py"},
    chain({"group": "cifar10"}, augmented),
    _common(4, 12, rate=0.01),
  )


def _cifar100() -> list[Point]:
  return product(
    {"config": "configs/meta_mtl_cifar100.py"},
    chain(
      {"group": "cifar100_20", ":primary": "20"},
      {"group": "cifar100_100", ":primary": "100"},
    ),
    # The paper does not tell T of the joint rows.
    _common(8, 20, rate=0.01, tasks=8),
  )


def _mini_imagenet(path: str) -> list[Point]:
  scaling = axis("partition.scaling", ["uniform", "half"])
  clusters = product(axis(":embedding", ["deepcluster", "acai"]), scaling)
  return product(
    {"config": "configs/meta_mtl_miniimagenet.py", ":path": path},
    chain(
      {":method": "single"},
      _of("fine_tune", axis(":embedding", ["deepcluster", "acai"])),
      joint(4, 0.01, clusters),
      _of("pta", _tasks(4)),
      _of("meta_mtl", _tasks(4), clusters),
      _of("meta_mtl", _tasks(4), {":labels": "permuted"}),
    ),
  )


def get_sweep(arg: str = "") -> list[Point]:
  """See the module's docstring."""
  arg = config_lib.parse_argument(
    arg, table=0, path="miniimagenet", runlocal=False, seeds=5
  )
  tables = {
    1: _omniglot,
    2: _mnist,
    3: _cifar10,
    4: _cifar100,
    5: lambda: _mini_imagenet(arg.path),
  }
  if arg.table not in (0, *tables):
    raise UserError(f"table={arg.table} is unknown; use 1 to 5, or 0 for all")
  found = []
  for number, points in tables.items():
    if arg.table in (0, number):
      seeds = 1 if number == 1 else arg.seeds
      size = {":runlocal": True} if arg.runlocal else {":seeds": seeds}
      found += product(points(), size)
  return found
