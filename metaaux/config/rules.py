"""What values the keys of a config may have."""

import math
from collections.abc import Mapping
from typing import Any

from metaaux.config import user_code
from metaaux.errors import UserError, did_you_mean

# In the order of tables: baselines and controls before what is compared.
METHODS = (
  "single",
  "fine_tune",
  "self_training",
  "co_training",
  "pi_model",
  "mean_teacher",
  "vat",
  "vat_entmin",
  "pseudo_label",
  "pta",
  "joint",
  "uniform",
  "random",
  "frozen",
  "kmeans",
  "prototypical",
  "human",
  "no_entropy",
  "maxl",
  "meta_mtl",
  "fada",
  "arml",
  "separate",
  "hard_sharing",
  "cross_stitch",
  "nddr",
  "transfer",
  "damtl",
)

# In the order of tables; a test holds them to `methods.reweighting`.
WEIGHTINGS = (
  "uniform",
  "fixed",
  "rlw",
  "adaloss",
  "uncertainty",
  "dwa",
  "gradnorm",
  "cosine_similarity",
  "ol_aux",
  "mgda",
  "cagrad",
  "imtl",
  "pcgrad",
  "nash_mtl",
  "auto_lambda",
  "qp_ema",
  "arml",
)

# Which rules read a key of `weighting.options`.
WEIGHTING_OPTIONS: Mapping[str, tuple[str, ...]] = {
  "c": ("cagrad",),
  "smallest": ("mgda", "imtl", "nash_mtl"),
  "with_primary": ("uncertainty", "dwa"),
  "temperature": ("dwa",),
  "horizon": ("ol_aux",),
  "project": ("ol_aux",),
  "kind": ("cosine_similarity",),
  "decay": ("qp_ema",),
  "detach_target": ("gradnorm",),
  "as_code": ("gradnorm",),
  "start": ("auto_lambda",),
}

_CHOICES: Mapping[str, tuple[str, ...]] = {
  "method": METHODS,
  "parallel": ("auto", "pmap", "sharding", "none"),
  "pool": ("auto", "divide"),
  "seeds": ("auto", "vmap", "loop"),
  "keep_best": ("", "accuracy", "loss"),
  "augment.mode": ("zero", "reflect"),
  "task_looks": ("plain", "gray", "half"),
  "model.lowering": ("auto", "fast", "short", "native"),
  "model.padding": ("SAME", "VALID"),
  "model.stem": ("auto", "imagenet", "small"),
  "optimizer.name": ("sgd", "adam"),
  "optimizer.schedule": ("constant", "step", "cosine"),
  "generator.optimizer.name": ("sgd", "adam"),
  "generator.optimizer.schedule": ("constant", "step", "cosine"),
  "model.decoder": ("hidden", "linear"),
  "model.kernel_init": (
    "glorot_uniform",
    "glorot_normal",
    "he_normal",
    "he_fan_out",
  ),
  "embedding.name": (
    "pixels",
    "pca",
    "spectral",
    "acai",
    "deepcluster",
    "file",
  ),
  "partition.labels": ("kmeans", "permuted", "random", "human"),
  "partition.images": ("all", "train"),
  "partition.scaling": ("uniform", "half", "none"),
  "meta_mtl.variant": (
    "paper_second_order",
    "first_order",
    "code_torch1",
    "code_torch2",
    "alternating",
  ),
  "setting": ("semi_supervised", "attributes", "domains"),
  "damtl.mask": ("weight", "filter", "none"),
  "damtl.align": ("linear", "rbf", "none"),
  "damtl.source": ("per_task", "frozen", "shared"),
  "damtl.start": ("auxiliary", "convolutions", "random"),
  "damtl.pairing": ("crossfed", "paired", "twosample"),
  "damtl.align_classes": ("own", "random"),
  "damtl.align_layer": ("relu", "affine"),
  "damtl.penalty": ("mean", "sum"),
  "damtl.reduction": ("sum", "mean"),
  "damtl.optimizer.name": ("sgd", "adam"),
  "damtl.optimizer.schedule": ("constant", "step", "cosine"),
  "weighting.name": WEIGHTINGS,
  "weighting.layer": ("auto", "all", "last"),
  "weighting.eta_mode": ("absolute", "relative"),
  "weighting.projection": ("exact", "shift_clamp"),
  "weighting.algorithm": ("merged", "two_stage"),
  "weighting.options.kind": ("indicator", "weighted"),
  "semi_supervised.tasks": ("rotation", "exemplar", "useless"),
  "semi_supervised.pool": ("all", "unlabelled"),
  "maxl.entropy_mean": ("batch", "running"),
  "maxl.inner_batch": ("meta", "train"),
}

# What the tuples hold.
ITEMS: Mapping[str, type] = {
  "extra_test": str,
  "pixel_range": float,
  "psi": int,
  "attributes": str,
  "model.widths": int,
  "model.kernels": int,
  "weighting.values": float,
  "task_classes": str,
  "task_looks": str,
  "task_domains": str,
  "semi_supervised.tasks": str,
}

# Whole numbers are counted with 32 bits where they are computed with.
_LARGEST = 2**31 - 1
# Smallest and largest value, of a tuple's items too; None: no largest.
_RANGES: Mapping[str, tuple[float, float | None]] = {
  "shrink": (1, 1000),
  "image_side": (0, 4096),
  "pixel_range": (-1e12, 1e12),
  "background": (0, 255),
  "labels_per_class": (0, None),
  "label_fraction": (0.0, 1.0),
  "big_per_class": (0, None),
  "meta_fraction": (0.0, 0.9),
  "meta_per_class": (0, None),
  "seed": (0, 2**31 - 1),
  "num_seeds": (1, 1000),
  "batch_size": (1, None),
  # Steps are counted in 32 bits.
  "num_steps": (1, 2**31 - 1),
  "log_every": (1, None),
  "eval_every": (0, None),
  "eval_examples": (1, None),
  "average_last": (1, None),
  "checkpoint_every": (0, None),
  "keep_checkpoints": (1, None),
  "psi": (1, None),
  "gamma": (0.0, 10.0),
  "auxiliary_weight": (0.0, None),
  "augment.pad": (0, 1000),
  "augment.shift": (0.0, 0.5),
  "augment.grayscale": (0.0, 1.0),
  "augment.noise": (0.0, None),
  "model.width": (1e-3, 100.0),
  "model.depth": (10, 1000),
  "model.widths": (1, None),
  "model.kernels": (1, None),
  "model.hidden": (0, None),
  "inner.learning_rate": (0.0, None),
  "inner.num_steps": (1, 1000),
  "model.norm_momentum": (0.0, 1.0),
  "model.norm_epsilon": (1e-8, 1.0),
  "model.dropout": (0.0, 0.99),
  "model.block_dropout": (0.0, 0.99),
  "embedding.dim": (0, None),
  "embedding.neighbours": (1, None),
  "embedding.num_steps": (0, None),
  "embedding.batch_size": (1, None),
  "embedding.learning_rate": (0.0, None),
  "embedding.width": (1, None),
  "embedding.latent": (0, None),
  "embedding.features": (1, None),
  "embedding.clusters": (0, None),
  "embedding.epochs": (1, None),
  "partition.num_tasks": (1, 1000),
  "partition.num_classes": (0, None),
  "partition.restarts": (1, 1000),
  "meta_mtl.tasks_per_step": (1, 1000),
  "meta_mtl.decoder_learning_rate": (0.0, None),
  "meta_mtl.code_momentum": (0.0, 1.0),
  "meta_mtl.code_weight_decay": (0.0, None),
  "meta_mtl.code_clip_norm": (0.0, None),
  "pseudo_labels.rounds": (1, 100),
  "pseudo_labels.confidence": (0.0, 1.0),
  "maxl.entropy_weight": (0.0, None),
  "maxl.alternate_every": (0, None),
  "primary_weight": (0.0, None),
  "weighting.every": (0, None),
  "weighting.until": (0.0, 1.0),
  "weighting.values": (0.0, None),
  "weighting.eta": (0.0, None),
  "weighting.learning_rate": (0.0, None),
  "weighting.gamma": (0.0, None),
  "weighting.epoch": (1, None),
  "weighting.options.c": (0.0, None),
  "weighting.options.smallest": (0.0, 0.99),
  "weighting.options.temperature": (1e-6, None),
  "weighting.options.horizon": (1, None),
  "weighting.options.decay": (0.0, 0.9999),
  "weighting.options.start": (0.0, None),
  "weighting.share": (0.0, 1.0),
  "weighting.temperature": (0.0, None),
  "consistency.weight": (0.0, None),
  "consistency.noise": (0.0, None),
  "consistency.ema": (0.0, 1.0),
  "consistency.epsilon": (0.0, None),
  "consistency.entropy_weight": (0.0, None),
  "consistency.threshold": (0.0, 1.0),
  "damtl.task_weight": (0.0, None),
  "damtl.sparsity": (0.0, None),
  "damtl.alignment": (0.0, None),
  "damtl.mask_spread": (0.0, 1.0),
  "damtl.auxiliary_steps": (0, None),
  "damtl.auxiliary_weight": (0.0, None),
  "damtl.tower_steps": (0, None),
  "damtl.unit_rate": (0.0, None),
  "domains.batch_size": (0, None),
  "domains.adversarial_weight": (0.0, None),
  "domains.hidden": (1, None),
  "semi_supervised.useless_classes": (2, None),
  "semi_supervised.exemplar_noise": (0.0, None),
}
_OPTIMIZER_RANGES: Mapping[str, tuple[float, float | None]] = {
  "learning_rate": (0.0, None),
  "momentum": (0.0, 1.0),
  "weight_decay": (0.0, None),
  "l1": (0.0, None),
  "clip_norm": (0.0, None),
  "decay_every": (1, None),
  "decay_factor": (0.0, 1.0),
}


def check_type(key: str, value: Any, default: Any) -> None:
  """Raises UserError unless `value` is of the type of the key's default."""
  ok, wanted = type(value) is type(default), type(default).__name__
  if key in ITEMS:
    ok = ok and all(type(item) is ITEMS[key] for item in value)
    wanted = f"tuple of {ITEMS[key].__name__}"
  if not ok:
    raise UserError(
      f"{key}={value!r} is of the wrong type ({type(value).__name__}); it must "
      f"be {wanted}"
    )


def check_value(key: str, value: Any) -> None:
  """Raises UserError unless `value` is a known word or inside its range."""
  for text in value if isinstance(value, tuple) else (value,):
    if isinstance(text, str) and "\0" in text:
      raise UserError(f"{key}={value!r} has a zero byte in it; leave it out")
  for word in _words(key, value):
    if key in user_code.KEYS and user_code.is_path(word):
      continue  # found, or not, when it is made
    if word not in _CHOICES[key]:
      raise UserError(
        f"{key}={word!r} is unknown{did_you_mean(word, _CHOICES[key])}; "
        f"use one of {', '.join(_CHOICES[key])}"
      )
  limits = _RANGES.get(key)
  if limits is None and "optimizer." in key:
    limits = _OPTIMIZER_RANGES.get(key.rpartition(".")[2])
  if limits is None:
    return
  low, high = limits
  for number in value if isinstance(value, tuple) else (value,):
    if high is None and isinstance(number, int) and number > _LARGEST:
      high = _LARGEST
    # Written so that NaN fails.
    inside = low <= number < math.inf and (high is None or number <= high)
    if not inside:
      upper = "" if high is None else f" and at most {_shown(high)}"
      raise UserError(
        f"{key}={value!r} is out of range; it must be at least {low:g}{upper}"
      )


def check_weighting_option(
  name: str, value: Any, default: Any, rule: str
) -> None:
  """Raises UserError if a key of `weighting.options` is set in vain."""
  if value == default or rule in WEIGHTING_OPTIONS[name]:
    return
  taken = [key for key, rules in WEIGHTING_OPTIONS.items() if rule in rules]
  raise UserError(
    f"weighting.options.{name}={value!r} is of "
    f"{', '.join(WEIGHTING_OPTIONS[name])}, and weighting.name={rule!r} takes "
    f"{', '.join(taken) or 'no options'}; leave it at {default!r}"
  )


def _shown(limit: float) -> str:
  return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _words(key: str, value: Any) -> tuple[Any, ...]:
  """What has to be among the choices of a key."""
  if key not in _CHOICES:
    return ()
  return value if isinstance(value, tuple) else (value,)
