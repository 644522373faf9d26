"""The training lens: which training examples act together."""
