"""Uses of explanations of components: shares by layer, pruning."""
