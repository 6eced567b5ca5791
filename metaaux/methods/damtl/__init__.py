"""DAMTL and its baselines: several small tasks beside an auxiliary one."""
