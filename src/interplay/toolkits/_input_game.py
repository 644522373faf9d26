"""Games of other packages' inputs: prompts that these make of masks, scored by our readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.fourier.masks import as_masks, sorted_by_prefix
from interplay.text.answer_readouts import Rows
from interplay.text.digests import document_digest, model_digest, tokenizer_digest
from interplay.text.models import check_usable
from interplay.text.scoring import is_known, read_off_encoder, score_by
from interplay.text.targets import settings_of

_CODE_VERSION = 1
"""Part of the fingerprint. It is raised when a change makes the same settings give other values."""
_TOKENS, _AT_ONCE = 12_000, 256
"""How many tokens, and how many masks, a call should have at most."""


@dataclass(frozen=True, eq=False)
class InputGame:
    """How a model's score depends on the features of another package's input.

    Attributes:
        players: the features' names.
        values: from masks ``(m, n)`` to values ``(m,)`` or ``(m, k)``.
        description: the lens and what is scored, for the provenance.
        batch_size: how many masks a call should have.
        fingerprint: a hash of all that the values depend on; ``None`` if it is not known.
        inp: the input itself, if it is an object of the other package.
    """

    players: tuple[str, ...]
    values: Callable[[BoolArray], FloatArray]
    description: Json
    batch_size: int
    fingerprint: str | None
    inp: Any = None

    @property
    def n_players(self) -> int:
        """The number of features."""
        return len(self.players)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """The values of masks ``(m, n)``."""
        return self.values(as_masks(masks, self.n_players))

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """An order of masks in which neighbours share long beginnings, ``(m,)``."""
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """All ablations cost the same."""
        return np.ones(len(masks))

    def describe(self) -> Json:
        """What is scored, as JSON."""
        return {"view": {"kind": "tiles", "title": "The input"}} | self.description

    def __repr__(self) -> str:
        return f"InputGame({self.n_players} players, lens: {self.description.get('lens')})"


def language_game(
    rows: Callable[[BoolArray], Rows],
    players: Sequence[str],
    targets: Sequence[Any],
    model: Any,
    tokenizer: Any,
    lens: str,
    contents: Json | None,
    inp: Any = None,
) -> InputGame:
    """Make a game of prompts that another package makes of masks.

    Args:
        rows: the prompts' tokens under masks ``(m, n)``, and how responses are written after them.
        players: the players' names.
        targets: what is scored.
        model: a Hugging Face language model in evaluation mode.
        tokenizer: its tokenizer.
        lens: the name of the lens, for the provenance.
        contents: all that ``rows`` depends on besides the tokenizer, as JSON, for the fingerprint;
            ``None`` if it depends on functions.
        inp: as for :class:`InputGame`.

    Raises:
        ValueError: nothing is left of the prompt where all is removed, the targets are none for
            this model, or the model is in training mode.
    """
    check_usable(model)
    if read_off_encoder(targets):
        raise ValueError(
            f"{'; '.join(map(str, targets))} is read off an encoder; give a response of a language "
            "model here, or use interplay.text.TextGame"
        )
    whole, empty = (rows(np.full((1, len(players)), kept)) for kept in (True, False))
    if not empty.ids[0]:
        raise ValueError(
            "with every feature removed the prompt has no tokens; give it fixed words, or baselines"
        )
    scorer = score_by(targets, model, tokenizer, whole)
    length = len(whole.ids[0])
    most = _TOKENS if scorer.reader is None else min(_TOKENS, scorer.reader.max_cached_tokens)
    described = {
        "lens": lens,
        "targets": [settings_of(target) for target in scorer.targets],
        "outputs": list(scorer.outputs),
    }
    fingerprint = None
    weights = None if contents is None else model_digest(model)
    if weights is not None and all(map(is_known, scorer.targets)):
        identity = {
            "code": _CODE_VERSION,
            "input": contents,
            "weights": weights,
            "dtype": str(model.dtype),
            "tokenizer": tokenizer_digest(tokenizer),
        }
        fingerprint = document_digest(identity | described)
    return InputGame(
        tuple(players),
        lambda masks: scorer.values(rows(masks)),
        described,
        max(1, min(_AT_ONCE, most // length)),
        fingerprint,
        inp,
    )
