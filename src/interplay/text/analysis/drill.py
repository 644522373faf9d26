"""Hierarchical refinement: coarse players first, then finer ones of those that matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from interplay._arrays import as_columns, unit_of, unpack
from interplay._types import BoolArray, FloatArray
from interplay.ablation.progress import say
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.explanation.exports import export
from interplay.explanation.run_plan import default_budget
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game, players_of

ENERGY_FRACTION = 0.9
"""The fraction of the spectrum's energy that lies among the players that are refined."""
LEVEL_FILE = "level{}.interplay"
"""The name of a saved level in the refinement's folder."""
_PER_PLAYER = 4
"""Ablations per player: what a level before the last gets, and the least for a finer level. Most
segments of a document matter little, and few of their interactions do."""
_MIN_ABLATIONS = 100
"""The fewest ablations of a level, unless it has fewer masks."""


class RefinableGame(Game, Protocol):
    """A game with players that can be cut into finer ones, such as a prompt's paragraphs."""

    def refined(
        self, chosen: Iterable[int], by: Any
    ) -> tuple[RefinableGame, tuple[tuple[int, ...], ...]]:
        """Make the game with the chosen players cut into finer ones, the others as they are.

        Args:
            chosen: players.
            by: the finer unit.

        Returns:
            The finer game, and for each player of this one its players' numbers in the finer one.
        """
        ...


@dataclass(frozen=True)
class Refinement:
    """The explanations of a hierarchical refinement, level by level.

    Attributes:
        levels: the explanations, the coarsest first. From the second level on, finer players
            replace those that mattered, in their places among the others.
        chosen: for each level but the last, the players that were refined for the next.
        children: for each level but the last, and for each of its players, its players' numbers in
            the next level.
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
        """The budget of each level, in ablations."""
        return tuple(int(level.provenance["budget"]["planned"]) for level in self.levels)

    def save(self, folder: str | Path) -> list[Path]:
        """Write each level to a separate file, ``level1.interplay`` and so on.

        Returns:
            The paths.
        """
        return [
            level.save(Path(folder) / LEVEL_FILE.format(number))
            for number, level in enumerate(self.levels, 1)
        ]

    @property
    def parts(self) -> list[tuple[str, Explanation]]:
        """The levels with their titles, the finest first: the parts of a page."""
        titles = [self._title(number) for number in range(len(self.levels))]
        return list(zip(titles, self.levels, strict=True))[::-1]

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page of all levels, the finest first.

        Returns:
            The path.
        """
        return export(self.parts, path, format="html")

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
                lines.append(f"  refined for the next level: players {names}")
        return "\n".join(lines)


def drill(
    game: RefinableGame,
    levels: Sequence[Any],
    *,
    budget: int | None = None,
    **settings: Any,
) -> Refinement:
    """Explain a game of coarse players, then refine the players that matter.

    After each level, players are chosen one by one, the one with the most energy first, until the
    coefficients within the chosen set have nine tenths of the spectrum's energy (the sum of F(S)^2
    over all S within the set). As many of them are refined as leave the next level four ablations
    per player. The other players stay as they are, so every level explains the whole game.

    A level before the last only shows which players matter. It gets four ablations per player, but
    at least 100, and never more than all its masks or an equal part of the remaining budget. The
    last level gets the remainder.

    Args:
        game: with the coarsest players, such as ``TextGame(..., by="paragraph")``.
        levels: the finer units one after another, such as ``["sentence", "word"]``.
        budget: the most distinct evaluations of all levels together. By default each level gets the
            number above, and the last 4 n log2 n.
        **settings: for every level, as for ``explain``: ``store``, ``decoder``, ``order``,
            ``holdout``, ``random_state`` and so on.

    Returns:
        An explanation for each level. There are fewer levels than requested if no player of one
        matters, or if one is interrupted; that level is the last.

    Raises:
        ValueError: no level, or a budget too small for them; and what ``explain`` raises.
    """
    if isinstance(levels, str) or not len(levels):
        raise ValueError(
            f'levels={levels!r} is no list of units; give the finer ones, such as ["sentence"]'
        )
    count = len(levels) + 1
    if budget is not None and budget < _MIN_ABLATIONS * count:
        raise ValueError(
            f"budget={budget} is below {_MIN_ABLATIONS * count}, {_MIN_ABLATIONS} for each of "
            f"{count} levels; give more, or fewer levels"
        )
    explanations: list[Explanation] = []
    chosen: list[tuple[int, ...]] = []
    children: list[tuple[tuple[int, ...], ...]] = []
    remaining = budget
    for number in range(count):
        level_budget = _level_budget(remaining, count - number, game.n_players)
        say(f"Level {number + 1} of {count}: {game.n_players} players, {level_budget} ablations.")
        explanation = explain(game, budget=level_budget, **settings)
        explanations.append(explanation)
        if remaining is not None:
            remaining -= int(explanation.provenance["budget"]["planned"])
        if number == count - 1 or explanation.provenance["budget"]["interrupted"]:
            break
        next_budget = _level_budget(remaining, count - number - 1, None)
        players = _players_to_refine(game, levels[number], explanation.spectrum, next_budget)
        if not players:
            say(
                "No player matters enough to be refined, or nothing of the finer unit is in those "
                "that do: this level is the last."
            )
            break
        game, level_children = game.refined(players, levels[number])
        chosen.append(players)
        children.append(level_children)
    return Refinement(tuple(explanations), tuple(chosen), tuple(children))


def _level_budget(remaining: int | None, levels: int, n_players: int | None) -> int | None:
    """The ablations of the next of so many levels.

    Args:
        remaining: the ablations that remain for all these levels; ``None``: no limit.
        levels: how many levels are still to come.
        n_players: the level's players; ``None``: not known yet.

    Returns:
        A number; ``None``: no limit.
    """
    if remaining is not None and (levels == 1 or n_players is None):
        return remaining // levels
    if n_players is None:
        return None
    if levels == 1:
        return default_budget(n_players)
    needed = min(max(_MIN_ABLATIONS, _PER_PLAYER * n_players), 1 << min(n_players, 31))
    return needed if remaining is None else min(remaining // levels, needed)


def _players_to_refine(
    game: RefinableGame, by: Any, spectrum: Spectrum, budget: int | None
) -> tuple[int, ...]:
    """The players that matter, as many as the next level's budget can resolve."""
    important = _important_players(spectrum)
    if not important:
        return ()
    finer, children = game.refined(range(game.n_players), by)
    sizes = [len(own) for own in children]
    names, finer_names = players_of(game), players_of(finer)
    stay = {  # such as prose, which has no fields
        player
        for player, own in enumerate(children)
        if len(own) == 1 and finer_names[own[0]] == names[player]
    }
    important = [player for player in important if player not in stay]
    chosen: list[int] = []
    n_players = game.n_players
    for player in important:
        n_finer = n_players + sizes[player] - 1
        if budget is None or budget >= _PER_PLAYER * n_finer or not chosen:
            chosen.append(player)
            n_players = n_finer
    if len(chosen) < len(important):
        say(
            f"{len(important) - len(chosen)} of {len(important)} players that matter are not "
            f"refined: {budget} ablations would be too few for their finer players."
        )
    return tuple(sorted(chosen))


def _important_players(spectrum: Spectrum) -> list[int]:
    """Players by their energy, until those chosen have ``ENERGY_FRACTION`` among themselves."""
    supports = unpack(spectrum.supports, spectrum.n_players)
    energy = _energy(spectrum, supports)
    by_player = energy @ supports
    threshold = ENERGY_FRACTION * float(energy.sum())
    players: list[int] = []
    inside = np.zeros(spectrum.n_players, dtype=np.bool_)
    for player in np.argsort(-by_player, kind="stable"):
        among_chosen = energy[~supports[:, ~inside].any(axis=1)].sum()
        if by_player[player] <= 0 or among_chosen >= threshold:
            break
        players.append(int(player))
        inside[player] = True
    return players


def _energy(spectrum: Spectrum, supports: BoolArray) -> FloatArray:
    """Each term's fraction of the energy, ``(terms,)``: 0 for the constant; a mean over outputs."""
    columns = as_columns(spectrum.coefficients).copy()
    columns[~supports.any(axis=1)] = 0.0
    # squares of very small numbers are zero
    squares = (columns / [unit_of(column) for column in columns.T]) ** 2
    total = squares.sum(axis=0)
    fractions = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
    return np.asarray(fractions.mean(axis=1))
