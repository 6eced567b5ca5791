"""MAXL and its baselines: auxiliary labels, learned or given."""
