"""Optimises a spectrum: which subset of players it predicts to be best."""

from interplay.optimize.subset import BestSubset, best_subset

__all__ = ["BestSubset", "best_subset"]
