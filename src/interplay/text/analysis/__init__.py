"""What goes on from explanations of texts: coarse segments first, then the finer ones of what matters."""
