"""Claims tested by ablations that are made for them."""
