"""Parts of a run that is opened again: its autoencoder, clusters, labels."""
