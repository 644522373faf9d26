"""What :mod:`interplay.optimize` is made of: the problem, the greedy search, the program."""
