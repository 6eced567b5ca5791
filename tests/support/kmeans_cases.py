"""Rows for k-means, and what it does worked out without tricks."""

import numpy as np

# For where nothing is drawn.
ANY = None


def mixture(n=200, d=4, components=5, seed=0):
  rng = np.random.default_rng(seed)
  middle = 3 * rng.normal(size=(components, d))
  return middle[rng.integers(components, size=n)] + rng.normal(size=(n, d))


def by_hand(x, c, s=1.0):
  """Squared distances [n, k] and nearest centroids [n], without tricks."""
  far = (((x[:, None] - c[None]) * s) ** 2).sum(-1)
  return far, far.argmin(1)
