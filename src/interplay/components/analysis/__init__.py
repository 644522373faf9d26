"""What is made of explanations of components: shares by layer, pruning."""
