"""Checkpoints: their format, writing and reopening, and the best one."""
