"""Meta-MTL and its baselines: auxiliary tasks made of clusters."""
