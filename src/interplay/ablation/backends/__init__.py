"""Back ends: where a game runs. A back end takes blocks of masks when it has room for them."""
