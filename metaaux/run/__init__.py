"""A run: its directory, batches, states, checkpoints and logs."""
