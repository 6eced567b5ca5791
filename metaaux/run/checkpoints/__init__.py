"""Checkpoints: their format, who writes them, and which is opened again."""
