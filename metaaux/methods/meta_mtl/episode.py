"""An episode: a virtual step on a drawn task, judged by the main task.

Gui et al. 2020, equations 5 and 6, and "alternating", which is ordinary
alternating multi-task training; `episode_official` has those of the official
code. Losses are functions and parameters any pytree, so that nothing here knows
of networks or data.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from metaaux import parallel
from metaaux.methods.meta_mtl.decoders import Params

Array = jax.Array
Tree = Any

VARIANTS = (
  "paper_second_order",
  "first_order",
  "code_torch1",
  "code_torch2",
  "alternating",
)


class Rule(NamedTuple):
  """How an episode and the outer step update.

  Attributes:
    variant: "paper_second_order"; "first_order" leaves H_t out; "alternating"
      is a real step on task t, then one on the main task; "code_torch1" and
      "code_torch2" are what the official code does on PyTorch 1 and on 2.
    alpha: rate of the inner steps of F.
    alpha_d: rate of the decoders.
    num_steps: inner steps, all on one batch.
    axis_name: devices that share a batch, or None.
    momentum: of the official code's SGD, except for its last step of F; 0 is
      plain SGD. This and the next two have no effect on other variants.
    weight_decay: likewise; L2, added to the gradient.
    clip_norm: largest norm of its gradients, 0: any.
  """

  variant: str
  alpha: float
  alpha_d: float
  num_steps: int = 1
  axis_name: str | None = None
  momentum: float = 0.0
  weight_decay: float = 0.0
  clip_norm: float = 0.0


class Episode(NamedTuple):
  """What one drawn task contributes.

  Attributes:
    params: the network with stepped decoders; F is that of the start.
    inner: grad_F L_t at F, the first inner gradient.
    outer: the direction of the outer step.
    ahead: F*.
    value: L_0(F*, D_0).
    extra: what the main loss returned beside it.
  """

  params: Params
  inner: Tree
  outer: Tree
  ahead: Tree
  value: Array
  extra: Any


def episode(
  task_loss: Callable[[Tree, Params], Array],
  main_loss: Callable[[Tree, Tree], tuple[Array, Any]],
  params: Params,
  rule: Rule,
) -> Episode:
  """One drawn task: inner step(s), then the main task's gradient (eq. 5, 6).

  Args:
    task_loss: (F, decoders) -> L_t of this device's batch; `shared` of the
      decoders' tree is to be ignored.
    main_loss: (F, D_0) -> L_0 of a fresh batch, and anything beside it.
    params: before the episode.
    rule: what to do; not a variant of the official code.
  """

  def gradients(shared: Tree, at: Params) -> tuple[Tree, Params]:
    """Of F and of the decoders, from one pass at the old parameters."""
    grads = jax.grad(task_loss, argnums=(0, 1))(shared, at)
    return parallel.pmean(grads, rule.axis_name)

  start, ahead, visited, inner = params, params.shared, [], None
  for i in range(rule.num_steps):
    g_f, g_d = gradients(ahead, start)
    visited.append(ahead)
    if i == 0:
      inner, params = g_f, _step_decoders(params, g_d, rule.alpha_d)
    ahead = descend(ahead, g_f, rule.alpha)
  after = jax.value_and_grad(main_loss, argnums=(0, 1), has_aux=True)
  (value, extra), (outer, g_main) = parallel.pmean(
    after(ahead, params.main), rule.axis_name
  )
  if rule.variant == "paper_second_order":
    for point in reversed(visited):  # the newest step comes first
      # Forward over reverse; nested `jax.grad` takes longer on a CPU.
      _, along = jax.jvp(
        lambda shared: gradients(shared, start)[0], (point,), (outer,)
      )
      outer = descend(outer, along, rule.alpha)
  if rule.variant == "alternating":
    params = params._replace(main=descend(params.main, g_main, rule.alpha_d))
  return Episode(params, inner, outer, ahead, value, extra)


def before_outer_step(shared: Tree, inner: Tree, rule: Rule) -> Tree:
  """F where the outer optimiser takes its step from.

  Args:
    shared: F.
    inner: mean of the episodes' first inner gradients.
    rule: what to do; not a variant of the official code.
  """
  if rule.variant == "alternating":
    return descend(shared, inner, rule.alpha)
  return shared


def descend(params: Tree, gradient: Tree, rate: float) -> Tree:
  """A step of plain gradient descent."""
  return jax.tree.map(lambda p, g: p - rate * g, params, gradient)


def _step_decoders(params: Params, gradient: Params, rate: float) -> Params:
  """Decoders that were not drawn have a gradient of zero and stay."""
  return params._replace(
    main=descend(params.main, gradient.main, rate),
    auxiliary=descend(params.auxiliary, gradient.auxiliary, rate),
  )
