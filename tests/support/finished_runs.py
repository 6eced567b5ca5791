"""Folders of finished runs."""

import json

from metaaux import config as config_lib


def write(folder, method, per_seed, seeds=(0, 1, 2), config=None, **meta_split):
  """A finished run; with `config` (dotted keys) also its config.json."""
  path = folder / method
  path.mkdir(parents=True)
  if config is not None:
    stored = config_lib.base()
    stored.update_from_flattened_dict({"method": method, **config})
    method = stored.method
    text = json.dumps({"config": config_lib.to_json(stored)})
    (path / "config.json").write_text(text)
  result = {
    "method": method,
    "mean": sum(per_seed) / len(per_seed),
    "ci95": 0.01,
    "per_seed": per_seed,
    "seeds": list(seeds),
    "meta_split": meta_split,
  }
  (path / "result.json").write_text(json.dumps(result))
