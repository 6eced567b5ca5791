"""DAMTL and its baselines: several small tasks beside an auxiliary one."""

from metaaux.methods.damtl.damtl import make

__all__ = ["make"]
