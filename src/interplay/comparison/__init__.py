"""Two games of the same players, compared; and what a game is expected to do, checked."""
