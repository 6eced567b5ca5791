"""What a run says of itself: rows, progress, events, pictures, intervals."""
