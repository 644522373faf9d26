"""Back ends: where a game runs. Each takes blocks of masks as it gets to them."""
