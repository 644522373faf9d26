"""Judging circuits of several methods on items that took no part in finding them.

The areas are those of :mod:`interplay.components.analysis.circuits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, visible
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.circuits import FRACTIONS, Circuits, Ranking, area, sizes_of
from interplay.components.analysis.pruning import LEVEL, ItemGame
from interplay.components.game import ComponentGame
from interplay.components.tasks import Item, LogitScore
from interplay.extensions import BackendName
from interplay.fourier.masks import as_masks
from interplay.game import FunctionGame, as_planned, described, fingerprint_of, players_of

if TYPE_CHECKING:
    import torch

DIVERGENCE = "divergence"
"""The name of the score that :func:`with_divergence` adds."""
Area: TypeAlias = Literal["cpr", "cmd"]
_RESAMPLES = 2000
_KEYS = (0x63, 0x69)
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


@dataclass(frozen=True)
class Estimate:
    """A number on the report items, and its 95 % interval over items.

    Attributes:
        value: on the items as they are.
        low: lower end: a percentile of the bootstrap. NaN of a single item, and if a resample of
            the items has no difference between the whole model and the empty one.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.value:.2f} (no interval)"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, eq=False)
class Judged:
    """One method's circuits on the report items.

    Attributes:
        method: its name.
        cost: what it took, in ablations.
        masks: its circuits, ``(2, fractions, n)``: those meant to score much, then those meant to
            be faithful.
        scores: their scores, mean over items, ``(2, fractions, k)``.
        faithfulness: theirs, ``(2, fractions)``.
        cpr: the area under the first ones' faithfulness.
        cmd: the area between the others' faithfulness and 1.
        others: every other score by its name, such as ``"correct"``: the mean over the range of
            fractions, of the circuits meant to score much; ``"divergence"`` of the others.
    """

    method: str
    cost: float
    masks: BoolArray
    scores: FloatArray
    faithfulness: FloatArray
    cpr: Estimate
    cmd: Estimate
    others: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several methods' circuits on the same report items. Printed, it is a table.

    Attributes:
        fractions: the sizes of circuits as shares of the players.
        sizes: the most players of a circuit, for each fraction.
        scores: the names of the k scores.
        n_items: the number of report items.
        ends: the scores without any player, and with all, ``(2, k)``.
        judged: the methods, in the order given.
    """

    fractions: tuple[float, ...]
    sizes: tuple[int, ...]
    scores: tuple[str, ...]
    n_items: int
    ends: FloatArray
    judged: tuple[Judged, ...]
    _resampled: Mapping[str, FloatArray] = field(repr=False)
    """For each column of the table, its values on resampled items, ``(resamples, methods)``."""

    def of(self, method: str) -> Judged:
        """One method's results.

        Raises:
            ValueError: there is no such method.
        """
        return self.judged[self._row(method)]

    def difference(self, method: str, other: str, of: Area | str = "cpr") -> Estimate:
        """How much more a method has than another, paired over items.

        Args:
            method: the name of a method.
            other: the name of the one to subtract.
            of: ``"cpr"``, ``"cmd"``, or the name of another score.

        Raises:
            ValueError: there is no such method or score.
        """
        if of not in self._resampled:
            raise ValueError(f"of={of!r} is not told; choose one of {', '.join(self._resampled)}")
        rows = [self._row(method), self._row(other)]
        columns = [_columns(self.judged[row])[of].value for row in rows]
        resampled = self._resampled[of][:, rows]
        return _estimate(columns[0] - columns[1], resampled[:, 0] - resampled[:, 1])

    def _row(self, method: str) -> int:
        names = [one.method for one in self.judged]
        if method not in names:
            raise ValueError(f"{method!r} is none of the methods {', '.join(names)}")
        return names.index(method)

    def __str__(self) -> str:
        titles = {"cpr": "CPR", "cmd": "CMD"}
        table = [["method", "ablations", *(titles.get(name, name) for name in self._resampled)]]
        for one in self.judged:
            cells = [f"{estimate}" for estimate in _columns(one).values()]
            table.append([one.method, f"{one.cost:,.0f}", *cells])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        told = f"{self.n_items} items; 95 % intervals over items, paired; circuits of up to "
        return visible("\n".join([told + f"{', '.join(map(str, self.sizes))} players", *lines]))


def compare_circuits(
    report: ItemGame,
    methods: Mapping[str, Ranking | Circuits],
    *,
    fractions: Sequence[float] = FRACTIONS,
    output: int = 0,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: BackendName | str | Backend = "local",
    progress: bool | None = None,
) -> Comparison:
    """Judge methods' circuits on items that took no part in finding them.

    Args:
        report: a game of the same players on other items (``ComponentGame.on``).
        methods: rankings or circuits, by the method's name.
        fractions: the sizes of circuits as shares of the players, ascending; MIB's by default.
        output: which of several scores is m.
        store: as for ``explain``, like the arguments below. It holds every item's scores.
        random_state: seed of the bootstrap.
        backend: see there.
        progress: see there.

    Raises:
        ValueError: fractions are not ascending in (0, 1], circuits have another shape or too many
            players, there is no such output, or the whole model scores as the empty one does.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    if not methods:
        raise ValueError("there are no methods to compare; give at least one")
    n_players = int(report.n_players)
    sizes = sizes_of(fractions, n_players)
    proposed = {
        name: one.circuits(fractions) if isinstance(one, Ranking) else one
        for name, one in methods.items()
    }
    for name, one in proposed.items():
        _check(name, one, sizes, n_players)
    circuits = np.stack([np.stack([one.best, one.faithful]) for one in proposed.values()])
    ends = np.repeat([[False], [True]], n_players, axis=1)
    masks = np.concatenate([ends, circuits.reshape(-1, n_players)])
    items = _item_scores(report, masks, store, backend, progress)  # (masks, items, k)
    n_scores = items.shape[2]
    if not 0 <= output < n_scores:
        raise ValueError(f"output={output} is none of the {n_scores} scores; count from 0")
    names = described(report).get("scores") or [f"score {number}" for number in range(n_scores)]
    mean = items.mean(axis=1)
    if mean[0, output] == mean[1, output]:
        raise ValueError(
            f"the whole model and the empty one both score {mean[0, output]:.4g}, so that shares "
            "of their difference do not exist; choose another output or ablation"
        )
    told, faithfulness, scores = _told(mean[None], len(proposed), fractions, output, names)
    rng = np.random.default_rng([*_KEYS, random_state])
    n_items = items.shape[1]
    drawn = rng.multinomial(n_items, np.full(n_items, 1 / n_items), size=_RESAMPLES) / n_items
    resampled, _, _ = _told(
        np.einsum("ri,mik->rmk", drawn, items, optimize=True),
        len(proposed),
        fractions,
        output,
        names,
    )
    if n_items == 1:  # whose resamples are all the same
        resampled = {name: np.full_like(of, np.nan) for name, of in resampled.items()}
    judged = []
    for row, (name, one) in enumerate(proposed.items()):
        columns = {
            column: _estimate(float(values[0, row]), resampled[column][:, row])
            for column, values in told.items()
        }
        cpr, cmd = columns.pop("cpr"), columns.pop("cmd")
        judged.append(
            Judged(
                name,
                one.cost,
                circuits[row],
                scores[0, row],
                faithfulness[0, row],
                cpr,
                cmd,
                columns,
            )
        )
    return Comparison(
        tuple(fractions),
        tuple(sizes.tolist()),
        tuple(names),
        n_items,
        mean[:2],
        tuple(judged),
        resampled,
    )


def with_divergence(game: ComponentGame) -> ComponentGame:
    """Add a score to a game: how far the next token's distribution is from the whole model's.

    It is the Kullback-Leibler divergence KL(whole model || circuit), in nats, at the first token of
    the answer, under the name ``"divergence"``. It takes one ablation.
    """
    whole: dict[str, FloatArray] = {}

    def remember(logits: torch.Tensor, item: Item) -> torch.Tensor:
        whole[str(item)] = logits[0].log_softmax(dim=-1).cpu().numpy()
        return logits[:, 0]

    def divergence(logits: torch.Tensor, item: Item) -> torch.Tensor:
        import torch

        full = torch.from_numpy(whole[str(item)]).to(logits.device)
        return (full.exp() * (full - logits.log_softmax(dim=-1))).sum(dim=-1)

    task = game.task
    game.on(replace(task, scores=(LogitScore(remember),)))(np.ones((1, game.n_players), np.bool_))
    return game.on(replace(task, scores=(*task.scores, LogitScore(divergence, DIVERGENCE))))


def _check(name: str, circuits: Circuits, sizes: IntArray, n_players: int) -> None:
    for masks in (circuits.best, circuits.faithful):
        if masks.shape != (len(sizes), n_players):
            raise ValueError(
                f"{name!r} has circuits of shape {masks.shape}; give ({len(sizes)}, {n_players}), "
                "one for each fraction, of the report game's players"
            )
        for mask, size in zip(masks, sizes.tolist(), strict=True):
            if mask.sum() > size:
                raise ValueError(
                    f"a circuit of {name!r} keeps {mask.sum()} players, above the {size} of its "
                    "fraction; leave some out"
                )


def _item_scores(
    game: ItemGame,
    masks: BoolArray,
    store: str | Path | None,
    backend: BackendName | str | Backend,
    progress: bool | None,
) -> FloatArray:
    """Evaluate each item's scores, ``(m, items, k)``, unless they are in the store."""
    masks = as_masks(masks, game.n_players)
    shape = game.item_scores(masks[:0]).shape[1:]
    fingerprint = fingerprint_of(game)
    by_item = FunctionGame(
        lambda rows: game.item_scores(rows).reshape(len(rows), -1),
        game.n_players,
        players=players_of(game),
        fingerprint=fingerprint and f"{fingerprint}:items",
    )
    planned = as_planned(game)
    with Evaluator.of(
        by_item,
        store=store,
        backend=backend,
        batch_size=planned.batch_size if planned else None,
        progress=progress,
    ) as evaluator:
        return evaluator.values(masks).reshape(len(masks), *shape)


def _told(
    means: FloatArray, n_methods: int, fractions: Sequence[float], output: int, names: Sequence[str]
) -> tuple[dict[str, FloatArray], FloatArray, FloatArray]:
    """Everything that is told of mean scores, ``(r, 2 + masks, k)``.

    Returns:
        For each column of the table ``(r, methods)``; the faithfulness ``(r, methods, 2,
        fractions)``; the scores ``(r, methods, 2, fractions, k)``.
    """
    n_draws, _, n_scores = means.shape
    scores = means[:, 2:].reshape(n_draws, n_methods, 2, len(fractions), n_scores)
    empty, full = means[:, :2, output].T[:, :, None, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        faithfulness = (scores[..., output] - empty) / (full - empty)
    columns = {
        "cpr": area(faithfulness[:, :, 0], fractions),
        "cmd": area(np.abs(1 - faithfulness[:, :, 1]), fractions),
    }
    width = fractions[-1] - fractions[0]
    for number, name in enumerate(names):
        if number != output:
            kind = 1 if name == DIVERGENCE else 0
            columns[name] = area(scores[:, :, kind, :, number], fractions) / width
    return columns, faithfulness, scores


def _columns(judged: Judged) -> dict[str, Estimate]:
    return {"cpr": judged.cpr, "cmd": judged.cmd, **judged.others}


def _estimate(value: float, resampled: FloatArray) -> Estimate:
    if not np.isfinite(resampled).all():
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
