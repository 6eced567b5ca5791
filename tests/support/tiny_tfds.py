"""Writes small prepared TFDS directories, without TensorFlow or a network.

Test support: the images are noise around one pattern a class, so that a
network can learn them.
"""

import io
import pathlib

import numpy as np

# Index: fine class of CIFAR-100.
FINE_TO_COARSE = (
  *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11),
  *(6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5),
  *(5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17),
  *(10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13),
  *(16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)


# Consecutive labels of Omniglot that make an alphabet here.
CHARACTERS = 3


def write(
  data_dir, name="cifar100", num_train=200, num_test=100, classes=(None, None)
):
  """Prepares `name` (as TFDS spells it) under `data_dir`; returns its folder.

  Any set of images and class labels will do, or of binary attributes such as
  CelebA, of which image i has those that `attribute_bits(i)` says. Fine labels
  go round, so every class occurs if there are enough examples; the order is
  random.
  `classes` are the ranges of labels of the two splits, None for all.
  """
  import tensorflow_datasets as tfds

  builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
  folder = pathlib.Path(builder.data_dir)
  folder.mkdir(parents=True)
  features = builder.info.features
  for key, feature in features.items():
    if not isinstance(feature, tfds.features.ClassLabel):
      continue
    if feature.names[0] == "0":  # as they read while they are not set
      feature.names = [f"{key}_{i}" for i in range(feature.num_classes)]
  rng = np.random.default_rng(0)
  splits = []
  for split, count, labels in (
    ("train", num_train, classes[0]),
    ("test", num_test, classes[1]),
  ):
    if count:
      splits.append(_write_split(builder, folder, split, count, labels, rng))
  builder.info.set_splits(tfds.core.splits.SplitDict(splits))
  builder.info.write_to_directory(folder)
  return folder


def use(monkeypatch, data_dir):
  """Makes `tfds:` sources, of this process and of its children, read there."""
  import tensorflow_datasets as tfds

  # TFDS reads the variable once, when it is imported.
  monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(data_dir))
  monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))


def _write_split(builder, folder, split, count, labels, rng):
  import tensorflow_datasets as tfds
  from array_record.python import array_record_module

  template = tfds.core.ShardedFileTemplate(
    dataset_name=builder.name,
    data_dir=folder,
    split=split,
    filetype_suffix="array_record",
  )
  path = template.sharded_filepath(shard_index=0, num_shards=1)
  writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
  num_bytes = 0
  for i in rng.permutation(count):
    record = _example(builder.info.features, int(i), labels, rng)
    num_bytes += len(record)
    writer.write(record)
  writer.close()
  return tfds.core.splits.SplitInfo(
    name=split,
    shard_lengths=[count],
    num_bytes=num_bytes,
    filename_template=template,
  )


def _example(features, i, labels, rng):
  """One serialised tf.train.Example."""
  num_classes = features["label"].num_classes if "label" in features else 1
  labels = labels or range(num_classes)
  fine = labels[i % len(labels)]
  return features.serialize_example(_values(features, i, fine, rng))


def attribute_bits(i, count):
  """Which of `count` attributes the image of number i has, bool [count]."""
  return np.random.default_rng(1000 + i).random(count) < 0.4


def _values(features, i, fine, rng):
  """What the features of an example hold."""
  import tensorflow_datasets as tfds

  example = {}
  bits = iter(attribute_bits(i, len(features)))
  for key, feature in features.items():
    if isinstance(feature, tfds.features.FeaturesDict):
      example[key] = _values(feature, i, fine, rng)
    elif isinstance(feature, tfds.features.Image):
      # Where the set has images of any size, they differ.
      shape = [16 + i % 2 if n is None else n for n in feature.shape]
      example[key] = _png(_pixels(shape, fine, rng))
    elif key == "coarse_label":
      example[key] = FINE_TO_COARSE[fine]
    elif key == "alphabet":
      example[key] = fine // CHARACTERS
    elif key == "alphabet_char_id":
      example[key] = fine % CHARACTERS
    elif isinstance(feature, tfds.features.ClassLabel):
      example[key] = fine % feature.num_classes
    elif getattr(feature, "np_dtype", None) == np.bool_:
      example[key] = bool(next(bits))
    elif getattr(feature, "np_dtype", None) == np.int64:
      example[key] = i
    else:
      example[key] = f"{i:05d}"
  return example


def _pixels(shape, fine, rng):
  pattern = np.random.default_rng(fine).integers(0, 256, shape)
  noise = rng.normal(0, 20, shape)
  return np.clip(pattern + noise, 0, 255).astype(np.uint8)


def _png(pixels):
  from PIL import Image

  stream = io.BytesIO()
  grey = pixels.shape[-1] == 1
  Image.fromarray(pixels[..., 0] if grey else pixels).save(stream, "PNG")
  return stream.getvalue()
