"""ARML in an optax loop: one of two annotators of 1000 digits just guesses."""

import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

from metaaux import losses
from metaaux.methods.reweighting import Tasks, arml

x, y = (jnp.asarray(a) for a in load_digits(return_X_y=True))
x, few, many = x / 16.0, slice(50), slice(50, 1050)
guess_key, right_key, key = jax.random.split(jax.random.key(0), 3)
guesses = jax.random.randint(guess_key, y.shape, 0, 10)
right = jnp.where(jax.random.uniform(right_key, y.shape) < 0.7, y, guesses)
weighting, optimizer = arml.make(eta=0.2), optax.adam(0.01)


def loss(w, part, labels):
  return losses.softmax_cross_entropy(x[part] @ w, labels[part]).mean()


@jax.jit
def step(w, opt_state, state):
  def auxiliary(w):
    return jnp.stack([loss(w, many, right), loss(w, many, guesses)])

  tasks = Tasks(w, lambda w: loss(w, few, y), auxiliary)
  weight_K, state, _ = weighting.update(state, tasks, key)
  grads = jax.grad(lambda w: loss(w, few, y) + weight_K @ auxiliary(w))(w)
  updates, opt_state = optimizer.update(grads, opt_state)
  return optax.apply_updates(w, updates), opt_state, state


w = jnp.zeros((64, 10))
opt_state, state = optimizer.init(w), weighting.init(2)
for _ in range(100):
  w, opt_state, state = step(w, opt_state, state)
print("weights: {:.2f} right, {:.2f} guesses".format(*state.weight_K.tolist()))
