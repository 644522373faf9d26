"""Lenses: each makes games out of one kind of thing."""
