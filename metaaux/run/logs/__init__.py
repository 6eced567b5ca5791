"""The logs of a run: rows, progress, events, pictures, intervals."""
