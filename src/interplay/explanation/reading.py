"""What an explanation holds, and what is read from it without any evaluation."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import nan
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.confirmation.verdict import Confirmation
from interplay.designs.measures import UNIFORM, Measure, get_measure
from interplay.errors import ExtrapolationWarning
from interplay.explanation.circuits import Series
from interplay.explanation.decisive import DecisiveSet
from interplay.explanation.extrapolation import extrapolated, ranges_of
from interplay.explanation.faithfulness import Faithfulness, judged_outputs, r2
from interplay.explanation.judging import verdict_on
from interplay.explanation.removal import Removal
from interplay.explanation.verdict import Verdict
from interplay.extensions import INDICES, IndexName
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import as_masks, end_masks
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game

SHOWN_ORDER = 3
"""The largest order of what is shown where no other was asked for."""
_LARGEST_ORDER = 10


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
class Reading:
    """The fields of an :class:`interplay.Explanation`, and what is read from them."""

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
    cheaper: Ablations | None = None
    asked: Ablations | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but the game, as in a saved file, and what is computed on demand."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"game": None}

    def __copy__(self) -> Self:
        """A copy with the same game."""
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
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
            self.spectrum,
            self.faithfulness,
            self.provenance,
            (used.masks, used.values),
            self.ends,
            (self.index, self.shown_order),
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
    def shown_order(self) -> int:
        """The largest order of the interactions that reports begin with."""
        return self.order or SHOWN_ORDER

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

    @property
    def compared(self) -> tuple[str, str] | None:
        """The names of two games that were asked the same masks; ``None``: it is of one game.

        The outputs of a comparison are those of the first, those of the second, and what the second
        has more.
        """
        if self.judged_outputs.start is None:
            return None
        old, new = self.provenance["game"]["description"]["compared"]["names"]
        return old, new

    @property
    def judged_outputs(self) -> slice:
        """The outputs that the score and the verdict are of: all, or those of the difference."""
        return judged_outputs(self.provenance["game"]["description"], self.spectrum.n_outputs)

    @property
    def first_output(self) -> int | None:
        """The output that reports begin with; ``None``: the mean over all of several.

        Of a comparison it is the difference: of the first output, if the games have several.
        """
        n_outputs = self.spectrum.n_outputs or 1
        if self.compared is not None:
            return int(self.judged_outputs.start)
        return None if self.view.get("mean_first") and n_outputs > 1 else 0

    @property
    def sides(self) -> tuple[int, int]:
        """Of a comparison, the outputs of both games whose difference reports begin with."""
        return 0, (self.first_output or 0) // 2

    @property
    def agreement(self) -> Json | None:
        """Of a comparison with a margin: ``margin``, ``share``, ``n_masks`` and ``n_within``.

        So many of the fresh masks on which both were asked are within the margin. ``None``: no
        margin was given.
        """
        recorded: Json | None = self.provenance.get("agreement")
        return recorded if self.compared is not None else None

    @property
    def title(self) -> str:
        """What was explained, in a few words."""
        description = self.provenance["game"]["description"]
        by = f" by {description['by']}" if description.get("by") else ""
        lens = (description.get("lens") or "game").capitalize()
        title = f"{lens} of {len(self.players)} players{by}"
        return (
            title if self.compared is None else f"{' and '.join(self.compared)} compared: {title}"
        )

    @property
    def removal(self) -> Removal:
        """What players are that are not kept, in words: removed, or swapped."""
        description = self.provenance["game"]["description"]
        return Removal.of(description, len(self.players))

    @property
    def view(self) -> Json:
        """How reports show the players, as the game describes it (see ``PlannedGame.describe``)."""
        view: Json = self.provenance["game"]["description"].get("view") or {}
        return view
