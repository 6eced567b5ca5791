"""Runs that got as far as their clusters."""

import json

import numpy as np
from sklearn.cluster import KMeans

from metaaux import config as config_lib
from metaaux import data
from metaaux.data import fingerprint


def write(folder, *, k=10, made_of=True, **changes):
  """A run of Meta-MTL on digits that got as far as its clusters."""
  config = config_lib.base()
  config.update_from_flattened_dict(
    {"method": "meta_mtl", "labels_per_class": 40, "batch_size": 16, **changes}
  )
  stored = config_lib.to_json(config)
  (folder / "config.json").write_text(json.dumps({"config": stored}))
  problem = data.build(config)
  images = problem.pool["image"]
  vectors = images.reshape(len(images), -1).astype(np.float32)
  where = slice(None)
  if config.partition.images == "train":
    where = problem.train[0]
  rows = KMeans(k, n_init=1, max_iter=20, random_state=0).fit(vectors[where])
  partitions = np.stack([rows.labels_, rows.labels_[::-1]]).astype(np.int32)
  makers = {
    "partition": stored["partition"],
    "embedding": fingerprint.of(vectors),
  }
  extra = {"made_of": np.asarray(json.dumps(makers))} if made_of else {}
  cache = folder / "cache"
  cache.mkdir()
  np.savez(cache / "pixels-0123.npz", embedding=vectors, **extra)
  np.savez(cache / "partitions-seed0-4567.npz", partitions=partitions, **extra)
  return problem, vectors, partitions
