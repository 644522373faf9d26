"""Reading: what a model gives for many prompts, each as if it were alone, and fast."""
