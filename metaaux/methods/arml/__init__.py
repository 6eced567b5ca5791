"""ARML and its setting: weights of auxiliary tasks, learned or by rule."""

from metaaux.methods.arml.arml import make

__all__ = ["make"]
