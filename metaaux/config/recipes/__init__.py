"""Recipes: the papers' training settings, which config files share."""
