"""Ablations: evaluated in batches and stored, so that no mask is evaluated twice."""
