"""What is known of one key of a config."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# Of `Key.when`: any value but the empty one.
SET = ("anything",)


class Key(NamedTuple):
  """What is known of one key of a config.

  Attributes:
    default: value of `config.base()`, whose type every value has.
    help: what the key says, in a sentence.
    choices: words that it may be, or that the items of a tuple may be; (): any.
    low: smallest value, of a tuple's items too; None: the key is no number.
    high: largest value; None: none but what 32 bits hold.
    item: type of a tuple's items; None: the key is no tuple.
    affects_result: whether a result depends on it, beyond rounding.
    in_digest: whether a run with another value is another run, which does not
      resume this one.
    told_apart: whether names of runs may have the key to tell runs apart; False
      where the name of the method or a column of tables says it already.
    column: place among the keys of the data that make columns of tables, from
      1; 0: it makes none.
    own_code: whether an import path MODULE:FUNCTION may stand for a choice.
    methods: that depend on it; (): all.
    when: values of other keys without which it has no effect, by key.
  """

  default: Any
  help: str
  choices: tuple[str, ...] = ()
  low: float | None = None
  high: float | None = None
  item: type | None = None
  affects_result: bool = True
  in_digest: bool = True
  told_apart: bool = True
  column: int = 0
  own_code: bool = False
  methods: tuple[str, ...] = ()
  when: Mapping[str, tuple[Any, ...]] = {}


class Group(NamedTuple):
  """Keys under one heading of the help and the documents.

  Attributes:
    heading: a few words.
    keys: dotted name -> key.
  """

  heading: str
  keys: Mapping[str, Key]


def group(
  heading: str,
  prefix: str,
  keys: Mapping[str, Key],
  *,
  methods: tuple[str, ...] = (),
  when: Mapping[str, tuple[Any, ...]] | None = None,
) -> Group:
  """Keys of one nested group.

  Args:
    heading: of the group.
    prefix: of its names, such as "maxl."; "" at the top.
    keys: by their names below the prefix.
    methods: that depend on those keys which name none themselves.
    when: joins the condition of each key.
  """
  found = {
    f"{prefix}{name}": key._replace(
      methods=key.methods or methods, when={**(when or {}), **key.when}
    )
    for name, key in keys.items()
  }
  return Group(heading, found)


def optimizer(
  heading: str, prefix: str, learning_rate: float, methods: tuple[str, ...] = ()
) -> Group:
  """Keys of one optimiser."""
  step = {f"{prefix}schedule": ("step",)}
  return group(
    heading,
    prefix,
    {
      "name": Key(
        "sgd", "Names the update rule.", choices=("sgd", "adam", "adamw")
      ),
      "learning_rate": Key(
        learning_rate, "Sets the learning rate of the first step.", low=0.0
      ),
      "momentum": Key(
        0.0,
        "Sets the momentum of sgd.",
        low=0.0,
        high=1.0,
        when={f"{prefix}name": ("sgd",)},
      ),
      "weight_decay": Key(
        0.0,
        "Scales an L2 penalty, which is added to the gradient; of adamw, what "
        "each step takes from the parameters, times the rate.",
        low=0.0,
      ),
      "l1": Key(
        0.0, "Scales sign(params), which is added to the gradient.", low=0.0
      ),
      "clip_norm": Key(
        0.0, "Bounds the norm of the gradient; 0 does not clip.", low=0.0
      ),
      "schedule": Key(
        "constant",
        "Says how the rate falls: not, in steps, or as a cosine to zero.",
        choices=("constant", "step", "cosine"),
      ),
      "warmup_steps": Key(
        0, "Counts the first steps, in which the rate grows from 0.", low=0
      ),
      "decay_every": Key(
        1000,
        "Counts the steps between two falls of the rate.",
        low=1,
        when=step,
      ),
      "decay_factor": Key(
        0.5, "Multiplies the rate at each fall.", low=0.0, high=1.0, when=step
      ),
    },
    methods=methods,
  )
