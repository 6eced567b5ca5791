"""Auxiliary tasks made of one's own embeddings: k-means partitions.

Each of four partitions clusters another scaling of the embedding (Gui et al.
2020). Purity is the share of images that are of the commonest class of their
cluster; the same clusters with images permuted say how much of it is chance.
"""

import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from metaaux import partitions

images_NxD, label_N = load_digits(return_X_y=True)
# Here goes any float [n, d], such as the features of a network.
embedding_NxD = jnp.asarray(PCA(16).fit_transform(images_NxD / 16), "float32")

key, permute_key = jax.random.split(jax.random.key(0))
task_TxN = partitions.kmeans_partitions(
  key, embedding_NxD, k=10, num_partitions=4, scaling="uniform", restarts=2
)
mixed_TxN = partitions.permuted(permute_key, task_TxN)

found = partitions.report(task_TxN, label_N)
chance = partitions.report(mixed_TxN, label_N)
pairs = zip(found["partitions"], chance["partitions"], strict=True)
for t, (own, control) in enumerate(pairs):
  print(
    f"task {t}: purity {own['purity']:.3f}, permuted {control['purity']:.3f}"
  )
print(f"agreement between tasks (NMI): {found['between']['nmi']:.3f}")
