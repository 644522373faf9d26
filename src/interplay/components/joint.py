"""Joint: segments of a prompt and units of the model that reads it, as players of one game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.components.ablations import (
    Ablation,
    Resample,
    Zero,
    as_ablation,
    settings_of,
)
from interplay.components.architecture import find_architecture
from interplay.components.packing import LogitQuery, TokenSequence
from interplay.components.passes import Passes
from interplay.components.patching import sites_of
from interplay.components.players import check_players, describe_players, dictionaries_of
from interplay.components.units import Player
from interplay.fourier.masks import as_masks, distinct, sorted_by_prefix
from interplay.text.digests import document_digest
from interplay.text.game import TextGame
from interplay.text.models import context_length
from interplay.text.prompts.tokens import Encoder
from interplay.text.readouts import Readout

_CODE_VERSION = 1
"""Part of the fingerprint: increased when a change of the code changes values."""
_MOST = 128
"""The most masks of a call: enough for passes of full size, few enough that an interruption loses
little."""


class Joint:
    r"""How a model's score depends on the segments of its prompt and on its own parts, together.

    The first players are the segments of a text game, the others are units of its model. The value
    of a mask is the text game's score of the prompt without the removed segments, by the model
    without the removed units. An interaction of a segment and a unit is what the unit does with the
    segment: the effect of the unit while the segment is there, less its effect while it is not.

    Scores that are read off a causal model's logits are evaluated in passes whose rows have
    different prompts and different units removed; the layers below the first unit run once for each
    prompt of a call. All others (classes, embeddings, written answers, segments masked by
    attention) are evaluated by the text game itself, one choice of units after the other.

    Args:
        text_game: a text game on a local model with one stack of layers. Answers of the model's
            own, and embeddings to compare with, are those of the whole prompt and the whole model.
        units: as the players of :class:`interplay.components.ComponentGame`.
        ablation: what replaces the contribution of a removed unit, as there. ``Mean`` and
            ``Resample`` without texts refer to the whole prompt. ``Resample`` draws one text, for
            all masks.

    Raises:
        ValueError: it is no ``TextGame``, the model lacks a unit, it is an encoder-decoder or has
            adapters, or the ablation does not fit the score.

    Example::

        model, tokenizer = interplay.text.load_model("smollm2")
        text_game = interplay.text.TextGame(
            model, tokenizer, "The acting is not bad.",
            interplay.text.LogitDifference(" positive", " negative"),
            by="word", prompt="Movie review: {text}\nThe sentiment of this review is",
        )
        game = Joint(text_game, heads(model, layers=[21]))
        explanation = interplay.explain(game, budget=300)
        explanation.interactions("FSII", order=3).top(1, min_order=2)  # "not" × "bad." × L21.H1
    """

    def __init__(
        self,
        text_game: TextGame,
        units: Sequence[Player],
        ablation: Ablation | Literal["zero", "mean", "resample"] = "zero",
    ) -> None:
        if not isinstance(text_game, TextGame):
            raise ValueError(
                f"an object of type {type(text_game).__name__} is no TextGame; units can be "
                "removed only from a local model, so give an interplay.text.TextGame"
            )
        self.text_game = text_game
        self._n_segments = text_game.n_players
        model = text_game.model
        self._architecture = find_architecture(model)
        self._units = check_players(self._architecture, units)
        self._whole = np.ones((1, self._n_segments), dtype=np.bool_)
        reads_logits = text_game.read_off_logits(self._whole) is not None
        self._makes_passes = reads_logits and self._architecture.predicts == "next"
        chosen, reference = self._reference(as_ablation(ablation))
        sites = sites_of(self._architecture, self._units)
        self._passes = Passes(model, self._architecture, sites, chosen, reference)
        self._is_probed = False

    def _reference(self, ablation: Ablation) -> tuple[Ablation, list[tuple[int, ...]]]:
        """The tokens of the texts that an ablation refers to; of ``Resample``, the one drawn."""
        if isinstance(ablation, Zero):
            return ablation, []
        if isinstance(ablation, Resample) and not self._makes_passes:
            raise ValueError(
                "ablation='resample' aligns another text with each prompt, which only scores that "
                "are read off a causal model's logits allow, without masking='attention'; use "
                "'zero' or 'mean'"
            )
        whole = tuple(self.text_game.unmasked_ids)
        if ablation.texts is None:
            return ablation, [whole]
        model, tokenizer = self.text_game.model, self.text_game.tokenizer
        encoder = Encoder(tokenizer, chat=False, ended=self._architecture.predicts != "next")
        reference = [tuple(ids) for ids in encoder([[(text, False)] for text in ablation.texts])]
        limit = context_length(model)
        for text, ids in zip(ablation.texts, reference, strict=True):
            if not ids or (limit is not None and len(ids) > limit):
                raise ValueError(
                    f"the reference text {text[:40]!r} is {len(ids)} tokens, and the model reads "
                    f"1 to {limit}; give another"
                )
        if isinstance(ablation, Resample):
            others = [ids for ids in reference if ids != whole] or reference
            rng = np.random.default_rng(ablation.random_state)
            reference = [others[int(rng.integers(len(others)))]]
        return ablation, reference

    @property
    def n_players(self) -> int:
        """The number of segments and units."""
        return self._n_segments + len(self._units)

    @property
    def players(self) -> tuple[str, ...]:
        """The segments' texts in quotation marks, ``"not"``, then the units' names, ``L14.H3``."""
        segments = (f'"{segment}"' for segment in self.text_game.players)
        return (*segments, *(unit.name for unit in self._units))

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for k outputs, of masks ``(m, n)``."""
        masks = as_masks(masks, self.n_players)
        segments, units = masks[:, : self._n_segments], masks[:, self._n_segments :]
        if not len(masks):
            return self.text_game(segments)
        if self._makes_passes:
            return self._by_passes(segments, units)
        return self._by_text_game(segments, units)

    def _by_passes(self, segments: BoolArray, units: BoolArray) -> FloatArray:
        """Evaluate prompts and units row by row in the same passes."""
        of_segments, prompt_of = distinct(segments)
        of_units, gate_of = distinct(units)
        read = self.text_game.read_off_logits(of_segments)
        assert read is not None
        rows_of = [np.flatnonzero(prompt_of == prompt) for prompt in range(len(of_segments))]
        under = [np.unique(gate_of[rows]) for rows in rows_of]
        sequences = [
            sequence
            for prompt, (ids, readout) in enumerate(zip(*read, strict=True))
            for sequence in _sequences(prompt, ids, readout)
        ]
        readings = self._passes.readings(sequences, read[1], of_units, under)
        values: FloatArray | None = None
        for readout, by_feed, rows, gates in zip(read[1], readings, rows_of, under, strict=True):
            combined = readout.combine(by_feed)[np.searchsorted(gates, gate_of[rows])]
            if values is None:
                values = np.empty((len(segments), *combined.shape[1:]))
            values[rows] = combined
        assert values is not None
        return values

    def _by_text_game(self, segments: BoolArray, units: BoolArray) -> FloatArray:
        """Let the text game evaluate the prompts of each choice of units, while it is made."""
        if not self._is_probed:
            # how the prompts of a pass are laid out is checked on the model as it is: without
            # attention, any layout would pass
            self.text_game(self._whole)
            self._is_probed = True
        of_units, gate_of = distinct(units)
        rows_of = [np.flatnonzero(gate_of == gate) for gate in range(len(of_units))]
        parts = self._passes.under_each(
            of_units, lambda gate: self.text_game(segments[rows_of[gate]])
        )
        order = np.argsort(np.concatenate(rows_of))
        return np.asarray(np.concatenate(parts)[order])

    @property
    def batch_size(self) -> int:
        """How many masks a call should have."""
        return min(_MOST, self.text_game.batch_size)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """An order of masks, ``(m,)``, in which neighbours have one prompt, or one choice of units.

        It is the prompt where the layers below the first unit are shared, and the units where the
        text game evaluates the prompts of each choice together.
        """
        if not self._makes_passes:
            masks = np.roll(masks, -self._n_segments, axis=1)
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """About how many tokens each ablation has, ``(m,)``: those of the text game."""
        return self.text_game.cost(masks[:, : self._n_segments])

    def describe(self) -> Json:
        """The text game, the units and their ablation, as JSON.

        ``segments`` are the characters of the segments in ``text``, ``segments_by`` is their unit,
        and ``components`` says of what units the other players consist.
        """
        of_text = self.text_game.describe()
        contents = {key: value for key, value in of_text.items() if key not in ("spans", "by")}
        return contents | {
            "lens": "joint",
            "view": {"kind": "grid", "title": "The input and the components"},
            "segments": of_text["spans"] if "spans" in of_text else of_text["segments"],
            "segments_by": of_text["by"],
            "n_layers": len(self._architecture.layers),
            "n_heads": [layer.n_heads for layer in self._architecture.layers],
            "components": describe_players(self._units),
            "ablation": settings_of(self._passes.ablation),
        }

    @property
    def fingerprint(self) -> str | None:
        """A hash of the text game's fingerprint, the units, the ablation and its reference.

        ``None`` if the text game has none.
        """
        of_text = self.text_game.fingerprint
        if of_text is None:
            return None
        device = self.text_game.model.device
        return document_digest(
            {
                "joint": _CODE_VERSION,
                "text": of_text,
                "components": describe_players(self._units),
                "dictionaries": [one.digest(device) for one in dictionaries_of(self._units)],
                "ablation": settings_of(self._passes.ablation),
                "reference": [list(ids) for ids in self._passes.reference],
            }
        )

    def __repr__(self) -> str:
        return f"Joint({self.text_game!r}, {len(self._units)} units)"


def _sequences(prompt: int, ids: Sequence[int], readout: Readout) -> list[TokenSequence]:
    """The token sequences of one prompt, and where each is read."""
    kept = tuple(ids[: len(ids) - readout.n_cut])
    return [
        (
            (*kept, *feed),
            LogitQuery(prompt, number, tuple(range(len(kept) - 1, len(kept) + len(feed)))),
        )
        for number, feed in enumerate(readout.feeds)
    ]
