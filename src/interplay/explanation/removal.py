"""What becomes of players that are not kept, in words: removed, or swapped for another value."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypedDict

from interplay._types import Count, Json, check


@dataclass(frozen=True)
class Removal:
    """What the players of a game are when they are not kept.

    Example:
        >>> Removal().without([0]), Removal(frozenset([0]), 3).without([0])
        (('without ', ''), ('with ', ' swapped'))

    Attributes:
        swapped: the players that show another value; all others are removed.
        n_players: n; it does not matter where none is swapped.
    """

    swapped: frozenset[int] = frozenset()
    n_players: int = 0

    @classmethod
    def of(cls, description: Json, n_players: int) -> Removal:
        """That of a game.

        Args:
            description: of the game.
            n_players: n.
        """
        try:
            check({"swapped": description.get("swapped") or []}, _Swaps, "description")
        except ValueError:  # of another game than the lens's own, or a file that somebody changed
            return cls()
        swapped = {player for _, _, player, _ in description.get("swapped") or []}
        if description.get("lens") == "images":  # numbered as in its prompt, whose last they are
            swapped = {n_players - 1 - max(swapped) + player for player in swapped}
        return cls(frozenset(p for p in swapped if p < n_players), n_players)

    def act(self, players: Collection[int] | None = None) -> str:
        """What is done to some players, or to all: ``remove``, ``swap``, or both."""
        return {"removed": "remove", "swapped": "swap"}.get(self.done(players), "remove or swap")

    def done(self, players: Collection[int] | None = None) -> str:
        """What some players, or all, then are: ``removed``, ``swapped``, or either."""
        chosen = set(range(self.n_players) if players is None else players)
        if not chosen & self.swapped:
            return "removed"
        return "swapped" if chosen <= self.swapped else "removed or swapped"

    def without(self, players: Collection[int]) -> tuple[str, str]:
        """What stands in a sentence before and after the names of players that are not kept."""
        done = self.done(players)
        if done == "removed":
            return "without ", ""
        return "with ", " swapped" if done == "swapped" else " changed"

    @property
    def ends(self) -> tuple[str, str]:
        """The full and the empty input, after a value."""
        if not self.swapped:
            return "with everything", "with nothing"
        return "as it is", f"with everything {self.done()}"

    def nothing_else(self, players: Collection[int]) -> str:
        """Everything but some players, which alone are kept."""
        others = set(range(self.n_players)) - set(players)
        done = self.done(others)
        return "with nothing else" if done == "removed" else f"with everything else {done}"


class _Swaps(TypedDict):
    swapped: list[tuple[int, int, Count, list[str]]]
