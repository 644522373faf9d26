"""Ablations: evaluated in batches, stored, never asked for twice."""
