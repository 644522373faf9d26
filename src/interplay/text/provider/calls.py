"""What a provider is, and calls of it whose results are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from interplay._types import FloatArray, Json
from interplay.errors import GameError

_ROUNDING = 1e-4
"""So far above zero a log-probability may come out by rounding."""
Prompt: TypeAlias = "str | list[Json]"
"""What a provider is given: a text, or the messages of a chat."""
_Answer = TypeVar("_Answer")


class ScoringProvider(Protocol):
    """Anything that knows how likely an answer is."""

    def get_logprobs(self, prompt: Any, answer: str, /) -> Sequence[float]:
        """The log-probabilities of the answer's tokens after the prompt, one for each token."""
        ...


class WritingProvider(Protocol):
    """Anything that answers."""

    def generate(self, prompt: Any, /) -> str:
        """The answer to the prompt; always the same, as with temperature 0."""
        ...


def _call(method: Callable[..., _Answer], *arguments: Any) -> _Answer:
    """Call a provider; what it raises becomes a GameError that names it."""
    try:
        return method(*arguments)
    except Exception as error:
        name = getattr(method, "__qualname__", repr(method))
        raise GameError(f"the provider's {name} raised {type(error).__name__}: {error}") from error


def written(provider: Any, prompt: Prompt) -> str:
    """The provider's answer to a prompt, checked."""
    answer = _call(provider.generate, prompt)
    if not isinstance(answer, str):
        raise GameError(
            f"the provider's generate returned {answer!r:.200}, a {type(answer).__name__}; it must "
            "return the text of the answer, a string"
        )
    return answer


def logprobs_of(provider: Any, prompt: Prompt, answer: str) -> FloatArray:
    """The log-probabilities of an answer's tokens, ``(tokens,)``, checked."""
    given = _call(provider.get_logprobs, prompt, answer)
    wanted = (
        f"for the answer {answer!r}; it must return a list with the log-probability of each of "
        "its tokens, finite and at most 0"
    )
    try:
        numbers = np.asarray(given)
    except Exception as error:
        raise GameError(
            f"the provider's get_logprobs returned what is no list ({error}) {wanted}"
        ) from error
    # a token has a byte at least; one more may stand for a space that a tokenizer adds
    most = len(answer.encode()) + 1
    if numbers.ndim != 1 or not 1 <= len(numbers) <= most or numbers.dtype.kind not in "fiu":
        raise GameError(
            f"the provider's get_logprobs returned {given!r:.200} (shape {numbers.shape}, "
            f"{numbers.dtype}) {wanted}, at most {most} numbers"
        )
    values = numbers.astype(np.float64)
    if not np.isfinite(values).all() or values.max() > _ROUNDING:
        raise GameError(f"the provider's get_logprobs returned {given!r:.200} {wanted}")
    return np.minimum(values, 0.0)
