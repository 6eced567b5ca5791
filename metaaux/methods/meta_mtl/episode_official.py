"""The episode as the official code of Gui et al. 2020 has it.

A scratch network takes the inner steps on F and the decoders, by SGD with
momentum. In each episode the weights are copied to it anew; its momentum stays.
The main gradient is that at F*, unlike the paper's without a second derivative.
F then takes two steps, each with a momentum of its own: at rate alpha along the
gradient that was remembered of the first inner step, and at rate beta (the
outer optimiser's) along the main gradient.

That gradient is remembered by reference. PyTorch 1 zeroes gradients in place,
so that by then it has become the main gradient ("code_torch1"); and a decoder
that has had a gradient keeps one, of zero when it is not drawn, with which
weight decay and momentum go on. PyTorch 2 drops gradients ("code_torch2"): it
still is that of the first inner step, and decoders that are not drawn stay.

Note: PyTorch clips to max_norm norm / (norm + 1e-6), and before 1.5 it leaves
weight decay in the gradients of decoders, which count in a norm. Both matter
little at the official settings and are left out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaaux import parallel
from metaaux.methods.meta_mtl.decoders import Params
from metaaux.methods.meta_mtl.episode import Array, Episode, Rule, Tree

VARIANTS = ("code_torch1", "code_torch2")


class CodeState(NamedTuple):
  """What the optimisers keep from one episode to the next.

  Attributes:
    scratch: of the inner steps: optimiser states of F, of D_0 and of D_1 ..
      D_T (leaves lead with T).
    first: of the step of F at rate alpha.
    touched: bool [T + 1], the decoders that have had a gradient.
  """

  scratch: Params
  first: Tree
  touched: Array


def init(params: Params, rule: Rule) -> CodeState:
  """The state before the first episode."""
  by_alpha, by_alpha_d = _sgd(rule.alpha, rule), _sgd(rule.alpha_d, rule)
  (num_tasks, *_), *_ = (x.shape for x in jax.tree.leaves(params.auxiliary))
  return CodeState(
    scratch=Params(
      by_alpha.init(params.shared),
      by_alpha_d.init(params.main),
      by_alpha_d.init(params.auxiliary),
    ),
    first=by_alpha.init(params.shared),
    touched=jnp.zeros(num_tasks + 1, bool),
  )


def episode(
  task_loss: Callable[[Tree, Params], Array],
  main_loss: Callable[[Tree, Tree], tuple[Array, Any]],
  params: Params,
  t: Array,
  state: CodeState,
  rule: Rule,
) -> tuple[Episode, CodeState]:
  """One drawn task: inner steps of the scratch network, then the main gradient.

  Args:
    task_loss: (F, decoders) -> L_t of this device's batch; `shared` of the
      decoders' tree is to be ignored.
    main_loss: (F, D_0) -> L_0 of a fresh batch, and anything beside it; without
      dropout, as in the official code.
    params: before the episode.
    t: the task, int32 scalar in 0 .. T.
    state: of the optimisers.
    rule: what to do.

  Returns:
    The episode, whose `inner` and `outer` are clipped, and the new state.
  """
  number = jnp.arange(state.touched.size)
  # D_0 has a gradient from the first main loss on.
  touched = state.touched | (number == t)
  moving = touched if rule.variant == "code_torch1" else number == t
  scratch, kept, inner = params, state.scratch, None
  for _ in range(rule.num_steps):
    by_f, grads = parallel.pmean(
      jax.grad(task_loss, argnums=(0, 1))(scratch.shared, scratch),
      rule.axis_name,
    )
    grads = _clip(grads._replace(shared=by_f), rule)
    inner = grads.shared if inner is None else inner
    scratch, kept = _step_scratch(scratch, grads, kept, moving, rule)
  after = jax.value_and_grad(main_loss, argnums=(0, 1), has_aux=True)
  (value, extra), (outer, g_main) = parallel.pmean(
    after(scratch.shared, scratch.main), rule.axis_name
  )
  # Only F's gradient was zeroed before; those of the decoders are still there.
  left = jax.tree.map(jnp.add, grads.main, g_main)
  outer = _clip(grads._replace(shared=outer, main=left), rule).shared
  ahead, params = scratch.shared, scratch._replace(shared=params.shared)
  state = CodeState(kept, state.first, touched | (number == 0))
  return Episode(params, inner, outer, ahead, value, extra), state


def first_outer_step(
  shared: Tree, inner: Tree, outer: Tree, state: CodeState, rule: Rule
) -> tuple[Tree, CodeState]:
  """The step of F at rate alpha, before that of the outer optimiser.

  Args:
    shared: F.
    inner: mean of the episodes' first inner gradients.
    outer: mean of their main gradients.
    state: of the optimisers.
    rule: what to do.
  """
  remembered = outer if rule.variant == "code_torch1" else inner
  shared, first = _step(_sgd(rule.alpha, rule), shared, remembered, state.first)
  return shared, state._replace(first=first)


def _sgd(rate: float, rule: Rule) -> optax.GradientTransformation:
  """PyTorch's SGD, whose weight decay goes through the momentum."""
  return optax.chain(
    optax.add_decayed_weights(rule.weight_decay),
    optax.sgd(rate, rule.momentum or None),
  )


def _clip(gradients: Params, rule: Rule) -> Params:
  if not rule.clip_norm:
    return gradients
  clip = optax.clip_by_global_norm(rule.clip_norm)
  return clip.update(gradients, clip.init(gradients))[0]


def _step(
  sgd: optax.GradientTransformation, params: Tree, gradient: Tree, state: Tree
) -> tuple[Tree, Tree]:
  updates, state = sgd.update(gradient, state, params)
  return optax.apply_updates(params, updates), state


def _step_scratch(
  params: Params, grads: Params, states: Params, moving: Array, rule: Rule
) -> tuple[Params, Params]:
  """An inner step of F and of the decoders that are `moving`, bool [T + 1]."""
  step_decoder = partial(_step, _sgd(rule.alpha_d, rule))

  def decoder(
    moves: Array, params: Tree, gradient: Tree, state: Tree
  ) -> tuple[Tree, Tree]:
    return jax.tree.map(
      partial(jnp.where, moves),
      step_decoder(params, gradient, state),
      (params, state),
    )

  of_shared, of_main, of_auxiliary = zip(params, grads, states, strict=True)
  new = (
    _step(_sgd(rule.alpha, rule), *of_shared),
    decoder(moving[0], *of_main),
    jax.vmap(decoder)(moving[1:], *of_auxiliary),
  )
  stepped, states = zip(*new, strict=True)
  return Params(*stepped), Params(*states)
