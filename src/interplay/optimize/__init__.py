"""Find the subset of players that a spectrum predicts to be best."""

from interplay.optimize.subset import BestSubset, best_subset

__all__ = ["BestSubset", "best_subset"]
