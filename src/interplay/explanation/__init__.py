"""From a game to an explanation: run plan, ablations, decoding, score, provenance."""
