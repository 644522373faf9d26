"""Fine-tuning a language model on many subsets of examples."""
