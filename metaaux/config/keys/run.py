"""Keys that say how long, where and with how many seeds a run trains."""

from metaaux.config.keys.key import Group, Key, group

_INT32 = 2**31 - 1

_LENGTH = {
  "seed": Key(0, "Gives the first seed.", low=0, high=_INT32, told_apart=False),
  "num_seeds": Key(
    1,
    "Counts the seeds, from seed on, that train side by side.",
    low=1,
    high=1000,
    told_apart=False,
  ),
  "batch_size": Key(
    100, "Counts the images of a batch over all devices.", low=1
  ),
  # Steps are counted in 32 bits.
  "num_steps": Key(
    1000, "Counts the updates of the last stage.", low=1, high=_INT32
  ),
}

_WATCHED = {
  "log_every": Key(
    100,
    "Counts the steps between two lines of metrics.",
    low=1,
    affects_result=False,
  ),
  # The result averages the last evaluations, but tables compare runs that were
  # looked at more or less often.
  "eval_every": Key(
    500,
    "Counts the steps between two evaluations; 0 evaluates at the end only.",
    low=0,
    told_apart=False,
  ),
  "eval_examples": Key(
    10000,
    "Bounds the training and meta images that an evaluation reads; the test "
    "images are always all read.",
    low=1,
    affects_result=False,
  ),
  "average_last": Key(
    5, "Counts the last evaluations that the reported accuracy averages.", low=1
  ),
  "checkpoint_every": Key(
    1000,
    "Counts the steps between two checkpoints; 0 saves at the end only.",
    low=0,
    affects_result=False,
  ),
  "keep_checkpoints": Key(
    2,
    "Counts the newest checkpoints that are kept, besides that of a trained "
    "embedding.",
    low=1,
    affects_result=False,
  ),
  "keep_best": Key(
    "",
    "Keeps the checkpoint that is best by this metric of the held-out images, "
    'too, never of the test images; "" keeps none.',
    choices=("", "accuracy", "loss"),
    affects_result=False,
  ),
  "cache": Key(
    "",
    'Names a folder of embeddings that runs share; "" keeps them in the run\'s '
    "own.",
    affects_result=False,
  ),
  "tensorboard": Key(
    False,
    "Writes event files for TensorBoard beside metrics.jsonl.",
    affects_result=False,
    in_digest=False,
  ),
}

_DEVICES = {
  "parallel": Key(
    "auto",
    "Says how devices share a batch; auto takes none on one, pmap on several, "
    "and sharding over several hosts.",
    choices=("auto", "pmap", "sharding", "none"),
    affects_result=False,
  ),
  "pool": Key(
    "auto",
    "Says where training images live: divide puts a part on each device; auto "
    "does so over several hosts, and else puts a copy on each.",
    choices=("auto", "divide"),
    affects_result=False,
  ),
  "seeds": Key(
    "auto",
    "Says how seeds train; auto takes vmap on accelerators and loop on a CPU.",
    choices=("auto", "vmap", "loop"),
    affects_result=False,
  ),
  "sync_batch_norm": Key(
    True, "Averages the statistics of batch norm over all devices."
  ),
}

GROUPS: tuple[Group, ...] = (
  group("Length and seeds", "", _LENGTH),
  group("Logs, evaluations and checkpoints", "", _WATCHED),
  group("Devices", "", _DEVICES),
)
