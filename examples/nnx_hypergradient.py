"""A hypergradient through a flax NNX module: what is each example worth?

20 of 100 training labels are wrong. The loss on other images after one step on
weighted examples falls along the weights of right labels, not of wrong ones.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from sklearn.datasets import load_digits

from metaaux import hypergrad, losses

x, y = (jnp.asarray(a) for a in load_digits(return_X_y=True))
x, wrong = x / 16.0, jnp.arange(100) < 20
train = {"x": x[None, :100], "y": (y[:100] + wrong)[None] % 10}  # [steps, B]
clean = {"x": x[100:600], "y": y[100:600]}
first, second = (nnx.Linear(*d, rngs=nnx.Rngs(0)) for d in ((64, 32), (32, 10)))
graph, params = nnx.split(nnx.Sequential(first, nnx.tanh, second))


def loss_B(params, batch):
  logits_BxC = nnx.merge(graph, params)(batch["x"])
  return losses.softmax_cross_entropy(logits_BxC, batch["y"])


hypergradient = hypergrad.hypergradient(
  lambda params, weight_B, batch: jnp.mean(weight_B * loss_B(params, batch)),
  lambda params, weight_B, batch: jnp.mean(loss_B(params, batch)),
  inner_lr=0.5,
)
f = jax.jit(lambda weight_B: hypergradient(params, weight_B, train, clean))
_, grad_B = f(jnp.ones(100))
move_B = 0.5 * grad_B / jnp.linalg.norm(grad_B)
slope = (f(1 + move_B)[0] - f(1 - move_B)[0]) / 2
print(f"slope {grad_B @ move_B:.5f}, by differences {slope:.5f}")
print(f"right {grad_B[~wrong].mean():.6f}, wrong {grad_B[wrong].mean():.6f}")
