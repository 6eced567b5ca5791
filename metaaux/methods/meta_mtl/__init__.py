"""Meta-MTL and its baselines: auxiliary tasks made of clusters."""

from metaaux.methods.meta_mtl.meta_mtl import make

__all__ = ["make"]
