"""ARML and its setting: weights of auxiliary tasks, learned or by rule."""
