"""Designs: which masks to evaluate."""
