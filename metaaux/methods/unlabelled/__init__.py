"""Methods that learn from images without labels."""
