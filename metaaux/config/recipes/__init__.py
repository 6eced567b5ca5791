"""Training recipes of the papers, which several config files share."""
