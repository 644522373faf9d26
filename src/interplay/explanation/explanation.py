"""Explanation: a spectrum, its faithfulness, and its provenance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from math import nan
from operator import index as whole_number
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns, pack
from interplay._types import BoolArray, FloatArray, IntArray, Json, whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.confirmation.design import DEFAULT_BUDGET, Cost, cost_of
from interplay.confirmation.run import confirm
from interplay.confirmation.verdict import Confirmation
from interplay.designs.measures import UNIFORM, Measure, get_measure
from interplay.errors import ExtrapolationWarning
from interplay.explanation.archive import write_archive
from interplay.explanation.circuits import Compared, Kept, Series, measured_circuits
from interplay.explanation.deciding import BUDGET, decide, refused
from interplay.explanation.decisive import DecisiveSet, Kind
from interplay.explanation.exports import export, exported, toolkit
from interplay.explanation.extrapolation import extrapolated, ranges_of
from interplay.explanation.faithfulness import Faithfulness, r2
from interplay.explanation.judging import verdict_on
from interplay.explanation.question import question_of
from interplay.explanation.verdict import Verdict
from interplay.extensions import INDICES, BackendName, IndexName
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import as_masks, end_masks, keys
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game, fingerprint_of

FORMAT_VERSION = 1
_LARGEST_ORDER = 10
FILE = "explanation.interplay"
"""The name of the file of an explanation that is saved in its own folder."""
_SINGLE = (1e-30, 1e30)
"""Deviations within these sizes are saved in single precision, in which others would become 0 or
infinite."""


@dataclass(frozen=True, eq=False)
class Ablations:
    """Masks and their values.

    Attributes:
        masks: ``(m, n) bool``.
        values: ``(m,)`` or ``(m, k)``.
    """

    masks: BoolArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, rows: slice | BoolArray | IntArray) -> Ablations:
        """Some of them."""
        return Ablations(self.masks[rows], self.values[rows])

    def __add__(self, other: Ablations) -> Ablations:
        """Append other ablations."""
        return Ablations(
            np.concatenate([self.masks, other.masks]), np.concatenate([self.values, other.values])
        )

    def with_ends(self, ends: FloatArray | None) -> Ablations:
        """Append the full and the empty input where they are missing.

        Args:
            ends: their values, ``(2,)`` or ``(2, k)``; ``None``: they have none.
        """
        if ends is None:
            return self
        masks = end_masks(self.masks.shape[1])
        new = [row for row in (0, 1) if not (self.masks == masks[row]).all(axis=1).any()]
        return self + Ablations(masks[new], ends[new])


@dataclass(frozen=True, eq=False)
class Explanation:
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
    """

    spectrum: Spectrum
    players: tuple[str, ...]
    faithfulness: Faithfulness
    provenance: Json
    fit: Ablations
    held_out: Ablations
    game: Game | None = field(default=None, repr=False)
    confirmation: Confirmation | None = None
    circuits: tuple[Series, ...] = ()
    decisive: tuple[DecisiveSet, ...] = ()
    surrogate: Spectrum | None = None
    held_predictions: FloatArray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but the game, as in a saved file, and what is computed on demand."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"game": None}

    def __copy__(self) -> Explanation:
        """A copy with the same game."""
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Explanation:
        """A copy of everything but the game, which may hold a model, and is shared."""
        state = deepcopy(self.__getstate__(), memo)
        return type(self)(**(state | {"game": self.game}))

    def predict(self, masks: npt.ArrayLike) -> FloatArray:
        """Predict the value of each mask: by the surrogate if there is one, else by the spectrum.

        The full and the empty input have the values that were measured.

        Args:
            masks: ``(m, n) bool``, or one mask ``(n,)``.

        Returns:
            ``(m,)`` or ``(m, k)``. For one mask there is no first axis.
        """
        array = np.asarray(masks)
        rows = as_masks(np.atleast_2d(array), self.spectrum.n_players)
        predicted = (self.spectrum if self.surrogate is None else self.surrogate).predict(rows)
        if self.ends is not None:
            predicted[rows.all(axis=1)], predicted[~rows.any(axis=1)] = self.ends
        result: FloatArray = predicted[0] if array.ndim == 1 else predicted
        return result

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the explanation may be used, and why: what every report shows first."""
        used = self.ablations
        return verdict_on(
            self.spectrum, self.faithfulness, self.provenance, (used.masks, used.values), self.ends
        )

    @property
    def surrogate_r2(self) -> float | None:
        """R2 of the surrogate on the held-out masks, the mean over outputs whose values vary.

        ``None`` if there is no surrogate, or if it was fitted to these too. ``faithfulness`` has
        the R2 of the spectrum. The difference between the two comes from the terms that the
        spectrum leaves out.
        """
        if self.surrogate is None or self.held_predictions is not None:
            return None
        held = self.held_out
        scores = r2(held.values, self.surrogate.predict(held.masks))
        known = np.isfinite(scores)
        return float(scores[known].mean()) if known.any() else nan

    @property
    def ablations(self) -> Ablations:
        """All ablations, each once: those of the fit, the held-out ones, the ends."""
        if self.faithfulness.exact:
            return self.fit
        return (self.fit + self.held_out).with_ends(self.ends)

    def predict_held_out(self) -> FloatArray:
        """What the fit that was scored predicts for the held-out masks, ``(h,)`` or ``(h, k)``."""
        if self.held_predictions is not None:
            return self.held_predictions
        return self.spectrum.predict(self.held_out.masks)

    def interactions(
        self, index: IndexName | str | None = None, *, order: int | None = None
    ) -> Interactions:
        """The interactions under an index, with the players' names.

        They pass through the measured ends: SV, k-SII, STII and FSII add up to ``full - baseline``
        (see :mod:`interplay.fourier.ends`).

        Args:
            index: the interaction index, one of :data:`interplay.INDICES`; by default that of the
                measure, :attr:`index`.
            order: the largest number of players in an interaction (see ``Spectrum.to``). The
                default is that of the decoder or of the spectrum, whichever is smaller.

        Raises:
            ValueError: the index is unknown, or the order does not fit it.

        Warns:
            ExtrapolationWarning: the index weighs masks that the run says little of, as what was
                measured there shows (see :meth:`extrapolated`).
        """
        index = index or self.index
        doubt = self.extrapolated(index)
        if doubt is not None:
            warnings.warn(doubt, ExtrapolationWarning, stacklevel=2)
        largest = self.provenance["decoder"]["settings"].get("order")
        if order is None and largest and (self.spectrum.orders > largest).any():
            order = int(largest)  # a table, exact or completed, has larger ones than were asked for
        return self.spectrum.to(index, order=order, players=self.players)

    def extrapolated(self, index: IndexName | str) -> str | None:
        """Why the values of an index are extrapolated from the run's masks, or ``None``.

        It is said only where a measured end or the score of a band of sizes shows it.
        """
        score, ranges = self.faithfulness, ranges_of(self.ablations.values)
        return extrapolated(index, self.measure, score, self.spectrum, self.ends, ranges)

    @property
    def measure(self) -> Measure:
        """The law under which masks were drawn and the faithfulness was judged.

        It equals its text, such as ``"uniform"`` or ``"keep:0.9"``.
        """
        request: Json = self.provenance.get("request") or {}
        return get_measure(request.get("measure", UNIFORM))

    @property
    def index(self) -> IndexName:
        """The interaction index that is read where none is asked for.

        It is the one that the run was asked to show, or that of the measure.
        """
        shown: Json = self.provenance.get("shown") or {}
        asked: Any = shown.get("index")
        return asked if asked in INDICES else self.measure.index

    @property
    def order(self) -> int | None:
        """The largest order of the interactions that the run showed, where that is recorded."""
        shown: Json = self.provenance.get("shown") or {}
        order = shown.get("order")
        return None if order is None else min(order, _LARGEST_ORDER)

    @property
    def baseline(self) -> FloatArray | None:
        """The value with every player removed, ``()`` or ``(k,)``; ``None`` if not evaluated."""
        return self._end(1)

    @property
    def full(self) -> FloatArray | None:
        """The value with every player kept, ``()`` or ``(k,)``; ``None`` if not evaluated."""
        return self._end(0)

    @property
    def ends(self) -> FloatArray | None:
        """The values of the full and of the empty input, ``(2,)`` or ``(2, k)``."""
        if self.spectrum.ends is not None or not self.faithfulness.exact:
            return self.spectrum.ends
        rows = [np.flatnonzero((self.fit.masks == kept).all(axis=1))[0] for kept in (True, False)]
        return self.fit.values[rows]

    def _end(self, row: int) -> FloatArray | None:
        return None if self.ends is None else np.asarray(self.ends[row])

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of several outputs, or their numbers if not each has a name; else empty."""
        count = self.spectrum.n_outputs
        if count is None:
            return ()
        names = self.provenance["game"]["description"].get("outputs") or ()
        return tuple(names) if len(names) == count else tuple(map(str, range(count)))

    def confirm(
        self,
        top: int = 5,
        *,
        game: Game | None = None,
        index: IndexName | str | None = None,
        order: int = 3,
        min_order: int = 2,
        output: int = 0,
        budget: int | None = None,
        store: str | Path | None = None,
        random_state: int = 0,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> Confirmation:
        """Test the strongest interactions by fresh ablations.

        The players of each interaction are removed in all patterns, on the same few random
        backgrounds (see :mod:`interplay.confirmation.patterns`). These are masks of the
        explanation's :attr:`measure`. The mean of the discrete derivative over them is an
        interaction index, and is compared with what the spectrum predicts for it: under
        ``"shapley"`` the Shapley interaction index, ``interactions("SII")``; under ``"uniform"``
        the Banzhaf interaction index, ``interactions("BII")``; under another measure the same mean
        over its masks. This is so whatever the ``index`` by which the interactions were chosen.
        ``interplay.confirmation.verdict.judge`` has the rule of the verdict. If the budget covers
        all 2^n masks of a small game, all of them are evaluated and the comparison is exact.

        Args:
            top: how many interactions to test.
            game: the game that was explained. A loaded explanation needs it.
            index: the interaction index by which the strongest are chosen; by default
                :attr:`index`.
            order: the largest number of players in an interaction.
            min_order: the smallest number; 1: single players are tested too.
            output: the number of the output, if there are several.
            budget: the most masks to evaluate, beyond those of the explanation. It determines the
                number of backgrounds. The default is what the explanation itself took, but at most
                500; of the ``top`` interactions it then tests as many as that pays for, and warns
                if these are not all.
            store: as for ``explain``. Stored masks are not evaluated again.
            random_state: seed of the backgrounds and of the random sets.
            backend: as for ``explain``.
            batch_size: as for ``explain``.
            progress: as for ``explain``.

        Returns:
            The interactions with their verdicts, strongest first.

        Raises:
            ValueError: there is no game, or it is not the one that was explained; the budget is
                below what six backgrounds need; or ``top``, ``index``, ``order`` or ``output`` is
                out of range.
            GameError: the game failed. What was evaluated is in the store.
            StoreError: the store cannot be used.
            KeyboardInterrupt: the run was interrupted. What was evaluated is in the store.
        """
        explained, spectrum = self._explained(game), self.spectrum.output(output)
        claims, cost = self._claims(top, index, (min_order, order), output, budget, random_state)
        if budget is None and cost.n_left_out:
            warnings.warn(f"{cost} Give confirm(budget=...) to test more.", stacklevel=2)
        with Evaluator.of(
            explained,
            store=store,
            backend=backend,
            batch_size=batch_size,
            progress=progress,
        ) as evaluator:
            return confirm(
                evaluator,
                spectrum,
                claims,
                (self.ablations.masks, self.ablations.values),
                output=output,
                budget=cost.budget,
                random_state=whole_number(random_state),
                measure=self.measure,
                min_order=min_order,
            )

    def confirmation_cost(
        self,
        top: int = 5,
        *,
        index: IndexName | str | None = None,
        order: int = 3,
        min_order: int = 2,
        output: int = 0,
        budget: int | None = None,
        random_state: int = 0,
    ) -> Cost:
        """What :meth:`confirm` with the same arguments will evaluate. Nothing is evaluated.

        Raises:
            ValueError: as for :meth:`confirm`.
        """
        return self._claims(top, index, (min_order, order), output, budget, random_state)[1]

    def _claims(
        self,
        top: int,
        index: IndexName | str | None,
        orders: tuple[int, int],
        output: int,
        budget: int | None,
        random_state: int,
    ) -> tuple[Interactions, Cost]:
        """The interactions that a confirmation tests, and what that costs."""
        if whole("top", top) < 1:
            raise ValueError(f"top={top} is below 1; give the number of interactions to test")
        index = index or self.index
        interactions = self.spectrum.output(output).to(index, order=orders[1], players=self.players)
        claims = interactions.top(top, min_order=whole("min_order", orders[0], 1))
        known = self.ablations.masks
        seed = whole_number(random_state)
        if budget is None:
            spent = self.provenance["budget"]["spent"]
            return cost_of(claims, known, min(DEFAULT_BUDGET, spent), seed, self.measure)
        limit = whole_number(budget)
        chosen, cost = cost_of(claims, known, limit, seed, self.measure, fewer=False)
        return chosen, cost

    def necessary(
        self,
        *,
        threshold: float | None = None,
        output: int = 0,
        game: Game | None = None,
        budget: int = BUDGET,
        time_limit: float = 10.0,
        store: str | Path | None = None,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> DecisiveSet:
        """Find the smallest set of players without which the answer changes, and ask the game.

        The answer changes where the value passes the threshold. The spectrum proposes the smallest
        set, with a proof where the optimiser has one. The game is asked about it. Where it says
        otherwise, the next best sets of that size are tried, then larger ones. Then each player is
        left out of the set alone, to see whether it is needed.

        Example:
            >>> import interplay as ip
            >>> game = ip.FunctionGame(lambda masks: 1.0 * masks[:, :2].any(axis=1), n_players=3)
            >>> explanation = ip.explain(game)
            >>> explanation.necessary().players, explanation.sufficient().players
            ((0, 1), (0,))

        Args:
            threshold: the value at which the answer changes. By default 0 for a margin or
                log-odds, else the middle between the values of the full and the empty input.
            output: the number of the output, if there are several.
            game: the game that was explained. A loaded explanation needs it, or only predicts,
                except where the run itself measured the sets.
            budget: the most masks to evaluate, beyond those of the explanation.
            time_limit: seconds for each size that the optimiser tries.
            store: as for ``explain``. Stored masks are not evaluated again.
            backend: as for ``explain``.
            batch_size: as for ``explain``.
            progress: as for ``explain``.

        Returns:
            The set, with what was predicted, measured and proven; or why there is none, as for an
            explanation that is not usable.

        Raises:
            ValueError: the game is not the one that was explained, or an argument is out of range.
            GameError: the game failed. What was evaluated is in the store.
            StoreError: the store cannot be used.
            KeyboardInterrupt: the run was interrupted. What was evaluated is in the store.
        """
        settings = {"store": store, "backend": backend, "batch_size": batch_size}
        settings["progress"] = progress
        limits = (whole("budget", budget, 0), time_limit)
        return self._decisive("necessary", threshold, output, game, limits, settings)

    def sufficient(
        self,
        *,
        threshold: float | None = None,
        output: int = 0,
        game: Game | None = None,
        budget: int = BUDGET,
        time_limit: float = 10.0,
        store: str | Path | None = None,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> DecisiveSet:
        """Find the smallest set of players that alone keeps the answer, and ask the game.

        All others are removed. Everything else is as for :meth:`necessary`.

        Args:
            threshold: as for :meth:`necessary`, like the arguments below.
            output: see there.
            game: see there.
            budget: see there.
            time_limit: see there.
            store: see there.
            backend: see there.
            batch_size: see there.
            progress: see there.

        Returns:
            See there.

        Raises:
            ValueError: as for :meth:`necessary`.
            GameError: likewise.
            StoreError: likewise.
            KeyboardInterrupt: likewise.
        """
        settings = {"store": store, "backend": backend, "batch_size": batch_size}
        settings["progress"] = progress
        limits = (whole("budget", budget, 0), time_limit)
        return self._decisive("sufficient", threshold, output, game, limits, settings)

    def _decisive(
        self,
        kind: Kind,
        threshold: float | None,
        output: int,
        game: Game | None,
        limits: tuple[int, float],
        settings: dict[str, Any],
    ) -> DecisiveSet:
        question = question_of(
            kind,
            (self.spectrum, self.players, self.ends),
            self.provenance["game"]["description"],
            self.verdict,
            output,
            threshold,
        )
        if question.refusal:
            return refused(question, limits[0])
        used = self.ablations
        values = as_columns(used.values)[:, output].tolist()
        known = dict(zip(keys(used.masks), values, strict=True))
        if game is None and self.game is None:
            return decide(question, known, None, *limits)
        with Evaluator.of(self._explained(game), **settings) as evaluator:
            return decide(question, known, lambda m: evaluator.values(m)[:, output], *limits)

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

    def _explained(self, game: Game | None) -> Game:
        """The game to evaluate, after a check that it is the one that was explained."""
        game = self.game if game is None else game
        if game is None:
            raise ValueError(
                "this explanation has no game to evaluate, since it was loaded from a file; "
                "give game=..., the game that was explained"
            )
        recorded = (self.provenance["game"]["fingerprint"], self.provenance["game"]["n_players"])
        present = (fingerprint_of(game), game.n_players)
        if recorded != present:
            raise ValueError(
                f"{game!r} has the fingerprint {present[0]} and {present[1]} players, but the game "
                f"that was explained had {recorded[0]} and {recorded[1]}; give that game"
            )
        return game

    def save(self, path: str | Path) -> Path:
        """Write the explanation to one file, of JSON and plain arrays. The game is not saved.

        :func:`interplay.load` reads it again. An existing file is replaced only when all is
        written.

        Returns:
            The path.

        Raises:
            ValueError: the explanation holds something that could not be read again. What
                ``explain`` returns does not: it refuses such games before it evaluates them.
        """
        document = {
            "format": FORMAT_VERSION,
            "n_players": self.spectrum.n_players,
            "players": self.players,
            "faithfulness": self.faithfulness.to_json(),
            "provenance": self.provenance,
        }
        if self.confirmation is not None:
            document["confirmation"] = asdict(self.confirmation)
        if self.circuits:
            document["circuits"] = [series.to_json() for series in self.circuits]
        if self.decisive:
            document["decisive"] = [chosen.to_json() for chosen in self.decisive]
        arrays: dict[str, npt.NDArray[Any]] = {
            "supports": self.spectrum.supports,
            "coefficients": np.asarray(self.spectrum.coefficients, dtype=np.float64),
            "fit_masks": pack(self.fit.masks),
            "fit_values": np.asarray(self.fit.values, dtype=np.float64),
            "held_masks": pack(self.held_out.masks),
            "held_values": np.asarray(self.held_out.values, dtype=np.float64),
        }
        if self.spectrum.deviations is not None and len(self.spectrum):
            arrays["deviations"] = _compact(self.spectrum.deviations)
        if self.surrogate is not None:
            arrays["surrogate_supports"] = self.surrogate.supports
            arrays["surrogate_coefficients"] = np.asarray(
                self.surrogate.coefficients, dtype=np.float64
            )
        if self.spectrum.ends is not None:
            arrays["ends"] = np.asarray(self.spectrum.ends, dtype=np.float64)
        if self.spectrum.end_doubts is not None:
            arrays["end_doubts"] = np.asarray(self.spectrum.end_doubts, dtype=np.float64)
        if self.held_predictions is not None:
            arrays["held_predictions"] = np.asarray(self.held_predictions, dtype=np.float64)
        return write_archive(path, document, arrays)

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained HTML page. It opens from disk and needs no network.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="html")

    def to_json(self, path: str | Path) -> Path:
        """Write the explanation as JSON that follows ``interplay.report.export.schema()``.

        This form is for other programs. Unlike :meth:`save`, it contains the interactions and not
        the ablations.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="json")

    def to_markdown(self, path: str | Path) -> Path:
        """Write the explanation as Markdown, for people to read.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="md")

    def to_shapiq(self, index: IndexName | str | None = None, order: int | None = None) -> Any:
        """Make ``shapiq.InteractionValues``, which its plots draw. Needs the package shapiq.

        ``baseline_value`` is the measured :attr:`baseline`, and ``estimated`` is false if all masks
        were evaluated. shapiq has no place for intervals, the verdict and the players' names: give
        its plots ``feature_names=explanation.players``.

        Args:
            index: as for :meth:`interactions`.
            order: likewise.

        Returns:
            The ``shapiq.InteractionValues``. With k outputs an ``InteractionValuesBatch`` of k.

        Raises:
            ValueError: as for :meth:`interactions`.
            MissingDependencyError: shapiq is not installed, or older than 1.8.
        """
        return toolkit("shapiq").to_shapiq(self, index, order)

    def to_shap(self, index: str = "SV", *, data: npt.ArrayLike | None = None) -> Any:
        """Make a ``shap.Explanation`` of one instance. Needs the package shap.

        ``base_values`` is the measured :attr:`baseline`, so that values add up to :attr:`full`.
        ``lower_bounds`` and ``upper_bounds`` are the 90 % intervals, ``error_std`` the standard
        deviations: zero if all masks were evaluated, and ``None`` if the decoder has none. SHAP
        has no place for larger interactions, the verdict and the provenance.

        Args:
            index: ``"SV"``: Shapley values, ``(n,)``. ``"k-SII"`` and ``"STII"``: pairs,
                ``(n, n)``, with half a pair's interaction on either side of the diagonal and
                single players on it; each row adds up to a Shapley value. ``"k-SII"`` is what
                ``shap.TreeExplainer`` has, ``"STII"`` what ``shap.ExactExplainer`` has.
            data: what SHAP shows beside the names, one entry for each player, such as the row that
                was explained. By default the segments of a text, and none for another game.

        Returns:
            The ``shap.Explanation``. With k outputs its arrays have one more axis, and so have its
            ``base_values``; where there are as many outputs as players, SHAP's slices of it lose
            the players' names.

        Raises:
            ValueError: the index is another one, or the empty input was not measured.
            MissingDependencyError: shap is not installed.
        """
        return toolkit("shap").to_shap(self, index, data=data)

    def to_captum(self, index: str = "SV") -> Any:
        """Make captum's ``LLMAttributionResult``, which its plots draw. Needs the package captum.

        With several outputs, such as the tokens of ``Response(reduction="token")``, each is a row
        of ``token_attr``, which ``plot_token_attr`` draws. ``seq_attr``, which ``plot_seq_attr``
        draws, has the sum over the tokens if these are scored by log-probability, and NaN if the
        outputs add up to nothing. A segment's text that repeats is numbered, ``the (2)``, since
        ``seq_attr_dict`` has one entry for each text. captum has no place for interactions,
        intervals and the verdict.

        Args:
            index: ``"SV"``, Shapley values, or ``"BV"``, Banzhaf values.

        Raises:
            ValueError: the index is another one.
            MissingDependencyError: captum is not installed.
        """
        return toolkit("captum").to_captum(self, index)

    def to_inseq(self, index: str = "SV") -> Any:
        """Make inseq's ``FeatureAttributionOutput`` of one sequence. Needs the package inseq.

        The players are the source and the outputs the target, with a value for each pair. Step
        scores have the measured ends of each output, its R2, and a token's probability; ``low`` and
        ``high`` among the sequence scores are the 90 % intervals, if there are any, and ``info``
        has the faithfulness. inseq has no place for interactions and the verdict.

        Args:
            index: ``"SV"``, Shapley values, or ``"BV"``, Banzhaf values.

        Raises:
            ValueError: the index is another one.
            MissingDependencyError: inseq is not installed.
        """
        return toolkit("inseq").to_inseq(self, index)

    def to_card(self, path: str | Path) -> Path:
        """Write an explanation card: what was asked, how well, and what must not be concluded.

        It says where each fact is recorded that four texts on records and transparency ask about
        (docs/cards.md), and makes no legal claim.

        Args:
            path: the file: HTML if it ends in ``.html``, else Markdown.

        Returns:
            The path.
        """
        kind = "card-html" if Path(path).suffix.lower() == ".html" else "card"
        return export([(self.title, self)], path, format=kind)

    def log(self, to: str, *, name: str = "explanation") -> str:
        """Write the explanation into the active run of an experiment log, or into a new one.

        Parameters, scores, hashes, and the page, the card, JSON and the saved explanation as files.
        The files hold the input; no log holds a key. See :mod:`interplay.toolkits.logs`.

        Args:
            to: ``"mlflow"``, ``"wandb"`` or ``"trackio"``; the package must be installed.
            name: stands before what is logged; another one for each explanation in a run.

        Returns:
            The id of the run.
        """
        run_id: str = toolkit("logs").log(self, to, name=name)
        return run_id

    def __repr__(self) -> str:
        return f"<Explanation: {self.title}; {self.faithfulness}>"

    def __str__(self) -> str:
        """What the command line shows of it, on 80 columns."""
        return exported([(self.title, self)], "txt").rstrip("\n")

    def _repr_html_(self) -> str:
        return exported([(self.title, self)], "notebook")

    @property
    def title(self) -> str:
        """What was explained, in a few words."""
        description = self.provenance["game"]["description"]
        by = f" by {description['by']}" if description.get("by") else ""
        lens = (description.get("lens") or "game").capitalize()
        return f"{lens} of {len(self.players)} players{by}"

    @property
    def view(self) -> Json:
        """How reports show the players, as the game describes it (see ``PlannedGame.describe``)."""
        view: Json = self.provenance["game"]["description"].get("view") or {}
        return view


def _compact(deviations: FloatArray) -> npt.NDArray[np.floating[Any]]:
    """Deviations in single precision, if it holds numbers of their size."""
    largest = np.abs(deviations).max(axis=(0, -1), initial=0.0)  # of each output
    low, high = _SINGLE
    single = bool(((largest == 0.0) | ((low <= largest) & (largest <= high))).all())
    return deviations.astype(np.float32 if single else np.float64)
