"""Player sets, masks, characters, indices, and the sparse Fourier spectrum."""
