"""MAXL and its baselines: auxiliary labels, learned or given."""

from metaaux.methods.maxl.maxl import make

__all__ = ["make"]
