"""The official code of Meta-MTL in NumPy, step by step and in place.

Our own writing of its steps: which gradients are zeroed or dropped when, and
which are kept by reference. What follows from that, such as the aliasing under
PyTorch 1, is not put in by hand. F and each decoder is one flat vector.

Two small things of PyTorch are left out: the 1e-6 in its clipping, and what
versions before 1.5 add to left-over gradients as weight decay.
"""

from typing import NamedTuple

import numpy as np


class Settings(NamedTuple):
  """Rates, and what SGD and clipping take."""

  drops: bool  # zero_grad drops gradients (PyTorch 2) or zeroes them (1)
  alpha: float
  alpha_d: float
  beta: float
  num_steps: int
  momentum: float = 0.0
  weight_decay: float = 0.0
  clip_norm: float = 0.0


class Parameter:
  """A vector and its gradient, which is None before the first one."""

  def __init__(self, value):
    self.value = np.array(value, np.float64)
    self.grad = None

  def accumulate(self, gradient):
    if self.grad is None:
      self.grad = np.zeros_like(self.value)
    # In place: whoever holds it sees the change. (Not so with a JAX array.)
    self.grad += np.asarray(gradient)


class SGD:
  """PyTorch's: buf = momentum buf + (g + decay p), p -= rate buf."""

  def __init__(self, parameters, rate, settings):
    self.parameters, self.rate, self.settings = parameters, rate, settings
    self.buffers = [None] * len(parameters)

  def zero_grad(self):
    for p in self.parameters:
      if self.settings.drops:
        p.grad = None
      elif p.grad is not None:
        p.grad[...] = 0

  def step(self):
    for i, p in enumerate(self.parameters):
      if p.grad is None:
        continue
      direction = p.grad + self.settings.weight_decay * p.value
      if self.buffers[i] is None:
        self.buffers[i] = direction
      else:
        self.buffers[i] = self.settings.momentum * self.buffers[i] + direction
      p.value = p.value - self.rate * self.buffers[i]


class Trainer:
  """The real network, the scratch one and four optimisers.

  Args:
    shared: F.
    decoders: D_0 .. D_T.
    settings: see there.
  """

  def __init__(self, shared, decoders, settings):
    self.settings = settings
    self.shared = Parameter(shared)
    self.decoders = [np.array(d, np.float64) for d in decoders]
    self.fast = Parameter(shared)
    self.heads = [Parameter(d) for d in decoders]
    self.inner_shared = SGD([self.fast], settings.alpha, settings)
    self.inner_decoders = SGD(self.heads, settings.alpha_d, settings)
    self.first = SGD([self.shared], settings.alpha, settings)
    self.second = SGD([self.shared], settings.beta, settings)
    self.clipped = []  # whether each clipping had an effect

  def _clip(self):
    grads = [p.grad for p in (self.fast, *self.heads) if p.grad is not None]
    norm = np.sqrt(sum((g * g).sum() for g in grads))
    limit = self.settings.clip_norm
    self.clipped.append(bool(limit and norm >= limit))
    if self.clipped[-1]:
      for g in grads:
        g *= limit / norm

  def episode(self, t, task_gradients, main_gradients):
    """One task drawn.

    Args:
      t: which.
      task_gradients: (F, D_t) -> gradients of L_t by both.
      main_gradients: (F, D_0) -> gradients of L_0 by both.
    """
    self.fast.value = self.shared.value
    for head, value in zip(self.heads, self.decoders, strict=True):
      head.value = value
    remembered = None
    for hop in range(self.settings.num_steps):
      g_f, g_d = task_gradients(self.fast.value, self.heads[t].value)
      self.inner_shared.zero_grad()
      self.inner_decoders.zero_grad()
      self.fast.accumulate(g_f)
      self.heads[t].accumulate(g_d)
      self._clip()
      if hop == 0:
        remembered = self.fast.grad  # not a copy
      self.inner_shared.step()
      self.inner_decoders.step()
    self.inner_shared.zero_grad()  # and not those of the decoders
    g_f, g_d = main_gradients(self.fast.value, self.heads[0].value)
    self.fast.accumulate(g_f)
    self.heads[0].accumulate(g_d)
    self._clip()
    for optimizer, gradient in (
      (self.first, remembered),
      (self.second, self.fast.grad),
    ):
      self.shared.grad = gradient.copy()
      optimizer.step()
    self.decoders = [head.value for head in self.heads]
