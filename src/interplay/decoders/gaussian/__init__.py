"""The decoder ``gp``: a Gaussian process on masks, averaged with boosted trees."""
