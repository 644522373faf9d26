"""Fast inference for many prompts: each gets the output that it would get alone."""
