"""Find the subset of players that a spectrum predicts to be best."""

from interplay.optimize.smallest import SmallestSubset, smallest_subset
from interplay.optimize.subset import BestSubset, best_subset

__all__ = ["BestSubset", "SmallestSubset", "best_subset", "smallest_subset"]
