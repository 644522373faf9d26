"""Decoders: from ablations to a sparse spectrum, one module or folder per algorithm."""
