"""Experiments: comparisons and pictures of runs."""
