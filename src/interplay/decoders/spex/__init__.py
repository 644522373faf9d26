"""The decoder "spex" (arXiv 2502.13870): its coded masks, for ablations that are made elsewhere."""

from interplay.decoders.spex.design import CodedDesign, Plan, design, minimum_budget, plan

__all__ = ["CodedDesign", "Plan", "design", "minimum_budget", "plan"]
