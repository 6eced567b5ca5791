"""Many tasks in one label level: classes compete inside their own group only.

The characters of an alphabet, for instance: an image is known to be of some
alphabet and is told apart from the others of it (the row "all alphabets" of Gui
et al. 2020, Table 1). One output layer over all classes, restricted to the
group, is a linear decoder for each group.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Array = jax.Array


# Of a class that does not compete; finite, so that 0 times it is 0.
_OUT = -1e9


def restrict(
  logits_BxC: Array, labels_B: Array, group_of_class: Sequence[int]
) -> Array:
  """Logits with those of other groups than the label's taken out.

  Args:
    logits_BxC: floats [B, C].
    labels_B: int [B], true classes, of which only the group is used.
    group_of_class: C group ids; (): one group, logits come back as they are.
  """
  if not group_of_class:
    return logits_BxC
  group_C = jnp.asarray(group_of_class)
  same_BxC = group_C[labels_B][:, None] == group_C[None, :]
  return jnp.where(same_BxC, logits_BxC, _OUT)
