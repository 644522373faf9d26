"""Explain a game: run plan, ablations, decoding, score, provenance."""
