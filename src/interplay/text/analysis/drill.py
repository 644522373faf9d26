"""Drill-down: coarse players first, then the finer ones of those that matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from interplay._arrays import as_columns, unpack
from interplay._types import BoolArray, FloatArray
from interplay.ablation.progress import say
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.explanation.exports import export
from interplay.explanation.run_plan import default_budget
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game

SHARE = 0.9
"""How much of the variation the players that are cut must explain among themselves."""
LEVEL_FILE = "level{}.interplay"
"""The name of a saved level in the drill-down's folder."""
_PER_PLAYER = 4
"""Ablations per player: what a level but the last is given, and the fewest of a finer level. Most
segments of a document matter little, and few of their interactions do."""
_FEWEST = 100
"""The fewest ablations of a level, where it has not fewer masks."""


class RefinableGame(Game, Protocol):
    """A game some of whose players can be cut into finer ones: a prompt's paragraphs, say."""

    def refined(
        self, chosen: Iterable[int], by: Any
    ) -> tuple[RefinableGame, tuple[tuple[int, ...], ...]]:
        """The game with the chosen players cut, the others as they are.

        Args:
            chosen: players.
            by: the finer unit.

        Returns:
            The game, and for each player of this one the numbers of its players there.
        """
        ...


@dataclass(frozen=True)
class Drilled:
    """What a drill-down found, level by level.

    Attributes:
        levels: the explanations, the coarsest first. From the second on the players are the finer
            ones of what mattered, in order among the coarser rest.
        chosen: for each level but the last, its players that were cut for the next.
        children: for each level but the last, for each of its players the numbers of its players in
            the next.
    """

    levels: tuple[Explanation, ...]
    chosen: tuple[tuple[int, ...], ...]
    children: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def finest(self) -> Explanation:
        """The last level's explanation."""
        return self.levels[-1]

    @property
    def budgets(self) -> tuple[int, ...]:
        """How many ablations each level was given."""
        return tuple(int(level.provenance["budget"]["planned"]) for level in self.levels)

    def save(self, folder: str | Path) -> list[Path]:
        """Write each level to a file of its own, ``level1.interplay`` and on.

        Returns:
            The paths.
        """
        return [
            level.save(Path(folder) / LEVEL_FILE.format(number))
            for number, level in enumerate(self.levels, 1)
        ]

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page of all levels, the finest first.

        Returns:
            The path.
        """
        titles = [self._title(number) for number in range(len(self.levels))]
        parts = list(zip(titles, self.levels, strict=True))
        return export(parts[::-1], path, format="html")

    def _title(self, number: int) -> str:
        level = self.levels[number]
        by = level.provenance["game"]["description"].get("by", "unit")
        return (
            f"Level {number + 1}: {len(level.players)} players by {by}, "
            f"{self.budgets[number]} of {sum(self.budgets)} ablations"
        )

    def __str__(self) -> str:
        lines = []
        for number, level in enumerate(self.levels):
            lines.append(f"{self._title(number)}; {level.faithfulness}")
            if number < len(self.chosen):
                names = ", ".join(map(str, self.chosen[number]))
                lines.append(f"  cut for the next level: players {names}")
        return "\n".join(lines)


def drill(
    game: RefinableGame,
    levels: Sequence[Any],
    *,
    budget: int | None = None,
    **settings: Any,
) -> Drilled:
    """Explain a game of coarse players, then of finer ones where it matters.

    After each level the fewest players are chosen whose coefficients among themselves have nine
    tenths of the spectrum's energy, sum of F(S)^2 over S within them, the player with the most
    energy first; as many of them are cut as leave the next level four ablations a player. All
    others stay players as they are, so that every level explains the whole.

    A level but the last is given four ablations a player, at least 100, or all its masks: it is to
    tell what matters, not how; at most an equal share of what is left. The last gets the rest.

    Args:
        game: with the coarsest players, such as ``TextGame(..., by="paragraph")``.
        levels: the finer units one after another, such as ``["sentence", "word"]``.
        budget: the most distinct evaluations of all levels together; by default as said for
            each, and 4 n log2 n for the last.
        **settings: of every level, as for ``explain``: ``store``, ``decoder``, ``order``,
            ``holdout``, ``random_state`` and so on.

    Returns:
        An explanation for each level. There are fewer levels than asked for where nothing matters
        in one, or an interrupted one is the last.

    Raises:
        ValueError: no level, or a budget too small for them; and what ``explain`` raises.
    """
    if isinstance(levels, str) or not len(levels):
        raise ValueError(
            f'levels={levels!r} is no list of units; give the finer ones, such as ["sentence"]'
        )
    count = len(levels) + 1
    if budget is not None and budget < _FEWEST * count:
        raise ValueError(
            f"budget={budget} is below {_FEWEST * count}, {_FEWEST} for each of {count} levels; "
            "give more, or fewer levels"
        )
    explanations: list[Explanation] = []
    chosen: list[tuple[int, ...]] = []
    children: list[tuple[tuple[int, ...], ...]] = []
    left = budget
    for number in range(count):
        given = _given(left, count - number, game.n_players)
        say(f"Level {number + 1} of {count}: {game.n_players} players, {given} ablations.")
        found = explain(game, budget=given, **settings)
        explanations.append(found)
        if left is not None:
            left -= int(found.provenance["budget"]["planned"])
        if number == count - 1 or found.provenance["budget"]["interrupted"]:
            break
        cut = _cut(game, levels[number], found.spectrum, _given(left, count - number - 1, None))
        if not cut:
            say("No player matters enough to be cut: the drill-down ends here.")
            break
        game, into = game.refined(cut, levels[number])
        chosen.append(cut)
        children.append(into)
    return Drilled(tuple(explanations), tuple(chosen), tuple(children))


def _given(left: int | None, levels: int, n_players: int | None) -> int | None:
    """A level's ablations, of those left for so many levels; ``None``: as many as it wants."""
    if left is not None and (levels == 1 or n_players is None):
        return left // levels
    if n_players is None:
        return None
    if levels == 1:
        return default_budget(n_players)
    wanted = min(max(_FEWEST, _PER_PLAYER * n_players), 1 << min(n_players, 31))
    return wanted if left is None else min(left // levels, wanted)


def _cut(game: RefinableGame, by: Any, spectrum: Spectrum, budget: int | None) -> tuple[int, ...]:
    """The players to cut: those that matter, as many as the next level's budget can resolve."""
    wanted = _matter(spectrum)
    if not wanted:
        return ()
    sizes = [len(into) for into in game.refined(range(game.n_players), by)[1]]
    cut: list[int] = []
    n_players = game.n_players
    for player in wanted:
        finer = n_players + sizes[player] - 1
        if budget is None or budget >= _PER_PLAYER * finer or not cut:
            cut.append(player)
            n_players = finer
    if len(cut) < len(wanted):
        say(
            f"{len(wanted) - len(cut)} of {len(wanted)} players that matter stay whole: "
            f"{budget} ablations would be too few for their finer players."
        )
    return tuple(sorted(cut))


def _matter(spectrum: Spectrum) -> list[int]:
    """Players by their energy, as many as explain ``SHARE`` of the variation among themselves."""
    supports = unpack(spectrum.supports, spectrum.n_players)
    energy = _energy(spectrum, supports)
    own = energy @ supports
    total = float(energy.sum())
    result: list[int] = []
    inside = np.zeros(spectrum.n_players, dtype=np.bool_)
    for player in np.argsort(-own, kind="stable"):
        if own[player] <= 0 or energy[~supports[:, ~inside].any(axis=1)].sum() >= SHARE * total:
            break
        result.append(int(player))
        inside[player] = True
    return result


def _energy(spectrum: Spectrum, supports: BoolArray) -> FloatArray:
    """Each term's F(S)^2 but the constant's, ``(terms,)``; of k outputs the mean of shares."""
    squares = as_columns(spectrum.coefficients) ** 2
    squares[~supports.any(axis=1)] = 0.0
    total = squares.sum(axis=0)
    shares = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
    return np.asarray(shares.mean(axis=1))
