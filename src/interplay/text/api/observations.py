"""What a server showed of itself while it was asked, and the warnings that follow from it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from interplay._types import Json

Identity: TypeAlias = tuple[str | None, str | None]
"""The model's name and its system fingerprint."""
LARGEST_DIFFERENCE = 0.01
"""From this difference of two log-probabilities of one answer on, a server is warned of: 1 % of the
probability."""
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Repeats:
    """The first ablations, asked a second time in the opposite order.

    Attributes:
        ablations: how many.
        largest_difference: between the two log-probabilities of one answer.
    """

    ablations: int
    largest_difference: float


@dataclass
class Observations:
    """What a server showed of itself so far.

    Attributes:
        method: by which method it gave log-probabilities; ``None``: by none yet.
        identities: the model's name and system fingerprint, as the server gave them with its
            responses, in the order in which they first came.
        repeats: whether its log-probabilities depend on the order of requests; ``None``: not
            measured.
    """

    method: str | None = None
    identities: dict[Identity, None] = field(default_factory=dict)
    repeats: Repeats | None = None
    _identities_told: int = 0
    _repeats_told: bool = False
    _unlisted_told: bool = False

    def note_identity(self, response: Json) -> None:
        """Keep the model's name and fingerprint of a response."""
        names = [response.get(key) for key in ("model", "system_fingerprint")]
        model, fingerprint = (
            name[:_LONGEST_NAME] if isinstance(name, str) else None for name in names
        )
        self.identities.setdefault((model, fingerprint))

    def as_json(self) -> Json:
        """All of it, for the provenance."""
        repeats = self.repeats
        return {
            "method": self.method,
            "answered_by": [
                {"model": model, "system_fingerprint": fingerprint}
                for model, fingerprint in self.identities
            ],
            "asked_again": None
            if repeats is None
            else {
                "ablations": repeats.ablations,
                "largest_difference": repeats.largest_difference
                if np.isfinite(repeats.largest_difference)
                else None,
            },
        }

    def warn(self, unlisted: int, top_logprobs: int, stacklevel: int) -> None:
        """Warn of what makes values doubtful; of each thing once.

        Args:
            unlisted: how many probabilities are bounds so far.
            top_logprobs: how many tokens were listed.
            stacklevel: of :func:`warnings.warn`, seen from the caller.
        """
        for message in (*self._of_unlisted(unlisted, top_logprobs), *self._of_the_server()):
            warnings.warn(message, stacklevel=stacklevel + 1)

    def _of_unlisted(self, unlisted: int, top_logprobs: int) -> list[str]:
        if not unlisted or self._unlisted_told:
            return []
        self._unlisted_told = True
        return [
            f"{unlisted} answers' probabilities so far were not listed among the "
            f"top_logprobs={top_logprobs} likeliest tokens; each is set to "
            "the least one listed, an upper bound (an answer of several tokens is never listed). "
            "Give likelier answers or a higher top_logprobs, or use method='echo' if the server "
            "can. game.usage.unlisted keeps the count; this warning is given once"
        ]

    def _of_the_server(self) -> list[str]:
        told = []
        repeats = self.repeats
        if (
            repeats is not None
            and not self._repeats_told
            and repeats.largest_difference > LARGEST_DIFFERENCE
        ):
            self._repeats_told = True
            told.append(
                "the server's log-probabilities depend on the order of requests: the first "
                f"{repeats.ablations} ablations, asked again in the opposite order, differ by up "
                f"to {repeats.largest_difference:.3g}. Values may be wrong by as much; try it with "
                "its prefix cache off (vLLM: --no-enable-prefix-caching), one request at a time "
                "(concurrency=1) or a higher precision"
            )
        identities = list(self.identities)
        if len(identities) > max(self._identities_told, 1):
            told.append(
                f"the server answers with another model than before: {identities[-1]} after "
                f"{identities[0]} (its name and system fingerprint); values of both are in this "
                "run. Give the version that it serves by revision=, and start a new store"
            )
        self._identities_told = len(identities)
        return told
