"""The decoder "spex" (arXiv 2502.13870): its coded masks, for ablations that are made elsewhere."""

from interplay.decoders.spex.design import CodedDesign, design
from interplay.decoders.spex.plan import Plan, minimum_budget, plan

__all__ = ["CodedDesign", "Plan", "design", "minimum_budget", "plan"]
