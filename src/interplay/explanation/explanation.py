"""Explanation: a spectrum, its faithfulness, and its provenance.

What it reads from its fields is in ``reading.py``, what it asks of its game in ``asking.py``, what
it writes in ``files.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from interplay.explanation.asking import Asking
from interplay.explanation.circuits import Compared, Kept, measured_circuits
from interplay.explanation.exports import exported
from interplay.explanation.files import FILE, FORMAT_VERSION, Files
from interplay.explanation.reading import Ablations

__all__ = ["FILE", "FORMAT_VERSION", "Ablations", "Explanation"]


@dataclass(frozen=True, eq=False)
class Explanation(Asking, Files):
    """The result of :func:`interplay.explain`.

    Example:
        >>> import interplay as ip
        >>> def sentiment(masks):
        ...     negated, _, good = masks.T
        ...     return good * (1.0 - 2.0 * negated)
        >>> game = ip.FunctionGame(sentiment, n_players=3, players=["not", "very", "good"])
        >>> explanation = ip.explain(game)
        >>> explanation.interactions("FSII", order=2).top(1).sets
        [(0, 2)]
        >>> print(explanation.predict([True, False, True]))
        -1.0
        >>> print(explanation.confirm(1).tested[0].verdict)
        holds
        >>> page = explanation.to_html("review.html")

    Attributes:
        spectrum: the sparse Fourier spectrum of the game.
        players: the players' names.
        faithfulness: R2 on held-out masks, with its interval.
        provenance: a record of the run, as JSON: versions, fingerprint, seeds, settings, counts,
            seconds.
        fit: the ablations that the spectrum was fitted to, in any case.
        held_out: the ablations that the faithfulness was computed from.
        game: the game. ``None`` if the explanation was loaded from a file, which has no game.
        confirmation: the result of :meth:`confirm`. It is saved and reported if it is put here:
            ``dataclasses.replace(explanation, confirmation=explanation.confirm())``.
        circuits: circuits with measured scores (see :meth:`with_circuits`). They are saved and
            reported.
        decisive: the results of :meth:`necessary` and :meth:`sufficient`. They are saved and
            reported if they are put here, as a confirmation is.
        surrogate: everything that the decoder learned, for :meth:`predict`, if ``spectrum`` is only
            its strongest terms. Otherwise ``None``.
        held_predictions: what the fit that was scored predicts for the held-out masks, in the shape
            of their values, if ``spectrum`` and ``surrogate`` were fitted to these too afterwards,
            as under measures other than ``"uniform"``. ``None``: they were not.
        cheaper: the ablations of a cheaper game, if one was given to ``explain``.
        asked: what the game was asked after the run, such as by :meth:`with_truth_tables`. Nothing
            was fitted to it. ``None``: nothing.
    """

    def with_circuits(self, given: Sequence[Kept] | Compared) -> Explanation:
        """The explanation with circuits that were measured, in the place of any before.

        A circuit is a set of players that is kept. Pages show them, and files hold them.

        Example::

            pruned = interplay.components.prune(game, other_items, [0.2, 0.5], {"gp": explanation})
            explanation.with_circuits(pruned).to_html("agreement.html")

        Args:
            given: what ``interplay.components.prune`` returned for the same game, or
                ``compare_circuits`` for the same players; or anything with the same attributes. Of
                one method and size the last one counts.

        Raises:
            ValueError: a circuit has other players or scores than the explanation.
        """
        known = self.ablations.masks, self.ablations.values
        return replace(self, circuits=measured_circuits(given, known, self.ends))

    def __repr__(self) -> str:
        return f"<Explanation: {self.title}; {self.faithfulness}>"

    def __str__(self) -> str:
        """What the command line shows of it, on 80 columns."""
        return exported([(self.title, self)], "txt").rstrip("\n")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """The interactive view, for notebooks that have anywidget; ``None``: only the others."""
        return import_module("interplay.report.widget").displayed(self)

    def _display_(self) -> Any:
        """The same for marimo."""
        return import_module("interplay.report.widget").displayed_by_marimo(self)

    def _repr_html_(self) -> str:
        return exported([(self.title, self)], "notebook")
