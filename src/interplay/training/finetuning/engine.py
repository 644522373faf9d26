"""The engine: a model with its examples, ready to be trained on many subsets of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.components.architecture import lock_of
from interplay.training.finetuning.body import Body
from interplay.training.finetuning.head import Candidates, choose_candidates
from interplay.training.finetuning.limits import check_lengths, prepare, subsets_at_once
from interplay.training.finetuning.loop import Recipe, base_scores, score, train
from interplay.training.finetuning.maps import Map, find_maps
from interplay.training.finetuning.rendering import Encoded
from interplay.training.finetuning.sequences import Fixed, Text, fix, text_of
from interplay.training.finetuning.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class Scored:
    """What is scored after training.

    Attributes:
        sequences: the texts.
        base: the log-probabilities of their targets before any training.
        candidates: the tokens that the softmax of training is over.
    """

    sequences: Sequence[Fixed]
    base: Sequence[FloatArray]
    candidates: Candidates


@dataclass(eq=False)
class Engine:
    """A model with its examples.

    Attributes:
        settings: how it is trained.
        encoded: the examples.
        body: the model.
        maps: what is tuned.
        n_candidates: the tokens of the softmax of training, unless they are all; those of answers
            may come to them.
        at_once: how many subsets are trained at once.
    """

    settings: Settings
    encoded: Sequence[Encoded]
    body: Body
    maps: Sequence[Map]
    n_candidates: int | None
    at_once: int
    _rows: list[Fixed] | None = field(default=None, init=False)

    @classmethod
    def of(cls, model: PreTrainedModel, settings: Settings, encoded: Sequence[Encoded]) -> Engine:
        """Check a model and its examples.

        Raises:
            ValueError: they cannot be used; the message says why.
        """
        body, maps = prepare(model, settings)
        check_lengths(model, encoded, "examples")
        n_all = len(body.head.weight)
        n_candidates = None
        if settings.vocabulary is not None and settings.vocabulary < n_all:
            learned = {token for each in encoded for token in each.response}
            n_candidates = max(settings.vocabulary, len(learned))
        all_maps = find_maps(model, body.architecture, body.first, None)
        at_once = subsets_at_once(settings, maps, all_maps, encoded, n_candidates or n_all)
        return cls(settings, encoded, body, maps, n_candidates, at_once)

    def __getstate__(self) -> dict[str, Any]:
        # another process computes them anew, which is quicker than to send them
        return {**vars(self), "_rows": None}

    def fixed(self, texts: Sequence[Text]) -> list[Fixed]:
        """Compute what no training changes in texts."""
        with lock_of(self.body.model):
            return fix(self.body, texts, self.settings.adapt == "all")

    def rows(self) -> list[Fixed]:
        """Return the examples with what no training changes in them."""
        if self._rows is None:
            self._rows = self.fixed([text_of(encoded) for encoded in self.encoded])
        return self._rows

    def responses(self) -> Scored:
        """Return the examples' own responses, to be scored."""
        return self.scored(self.rows())

    def scored(self, sequences: Sequence[Fixed]) -> Scored:
        """Return sequences to be scored."""
        rows, vocabulary = self.rows(), self.settings.vocabulary
        with lock_of(self.body.model), self.body.open():
            base = base_scores(self.body, sequences)
            candidates = choose_candidates(self.body, rows, sequences, vocabulary)
        return Scored(sequences, base, candidates)

    def recipe(self, epochs: int | None = None) -> Recipe:
        """Return how the model is trained, for some epochs or for all."""
        settings = self.settings
        return Recipe(settings.method, settings.rank, epochs or settings.epochs, settings.batch)

    def tuned(
        self, kept: BoolArray, seeds: IntArray, rates: FloatArray, scored: Scored
    ) -> list[FloatArray]:
        """Train on subsets, and return log-probabilities.

        Args:
            kept: the examples that each subset keeps, ``(m, rows)``.
            seeds: ``(m,)``.
            rates: the learning rate of each subset, ``(m,)``.
            scored: what is scored.

        Returns:
            Those of the targets of each sequence, ``(m, targets)`` each.
        """
        rows, body = self.rows(), self.body
        values = [np.tile(base, (len(kept), 1)) for base in scored.base]
        trained = np.flatnonzero(kept.any(axis=1))  # without a row, the model is as it was
        with lock_of(body.model), body.open():
            for first in range(0, len(trained), self.at_once):
                part = trained[first : first + self.at_once]
                adapters = train(
                    body,
                    self.maps,
                    rows,
                    scored.candidates,
                    self.recipe(),
                    kept[part],
                    seeds[part],
                    rates[part],
                )
                after = score(body, adapters, scored.sequences, len(part))
                for of_all, of_part in zip(values, after, strict=True):
                    of_all[part] = of_part
        return values
