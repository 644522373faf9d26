"""Targets: the number that an ablated prompt is scored by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    Score: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

_CERTAIN = -1e-12
"""Log-probabilities are cut here before they are put on the logit scale, which keeps it finite."""


class Target(Protocol):
    """What is measured of a model's next-token logits."""

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], Score]:
        """Fix the target's tokens.

        Returns:
            The tokens to feed after the prompt, f of them; and a function from the logits at the
            last f + 1 positions, ``(b, f + 1, vocabulary)``, to scores ``(b,)`` float64.
        """
        ...


@dataclass(frozen=True)
class Response:
    """How likely a given response is, token by token after the prompt (teacher forcing).

    Attributes:
        text: the response, with its leading space where the prompt ends without one; ``None``: what
            the model itself answers to the whole prompt, decoded greedily.
        score: ``"logprob"``: the sum of the tokens' log-probabilities; ``"mean_logprob"``: their
            mean; ``"prob"``: the response's probability p, the exponential of the sum; ``"logit"``:
            log(p / (1 - p)), p on the logit scale.
    """

    text: str | None = None
    score: Literal["logprob", "mean_logprob", "prob", "logit"] = "logprob"

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], Score]:
        """See :meth:`Target.prepare`."""
        import torch

        if self.score not in _SCORES:
            raise ValueError(f"score={self.score!r} is unknown; choose one of {', '.join(_SCORES)}")
        ids = tuple(tokenizer(self.text or "", add_special_tokens=False)["input_ids"])
        if not ids:
            raise ValueError(f"the response {self.text!r} has no tokens; give a response to score")
        kind = self.score

        def score(logits: torch.Tensor) -> torch.Tensor:
            wanted = torch.tensor(ids, device=logits.device).expand(len(logits), -1)
            # one position at a time: the vocabulary in float64 is what takes memory here
            each = [
                logits[:, at].double().log_softmax(dim=-1).gather(1, wanted[:, [at]])[:, 0]
                for at in range(len(ids))
            ]
            total = torch.stack(each, dim=1).sum(dim=1)
            if kind == "logprob":
                return total
            if kind == "mean_logprob":
                return total / len(ids)
            if kind == "prob":
                return total.exp()
            total = total.clamp(max=_CERTAIN)
            return total - torch.log(-torch.expm1(total))

        return ids[:-1], score


_SCORES = ("logprob", "mean_logprob", "prob", "logit")


@dataclass(frozen=True)
class LogitDifference:
    """The next token's logit for one answer minus that for another.

    Attributes:
        positive: an answer of one token, with its leading space if it has one.
        negative: the other.
    """

    positive: str
    negative: str

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], Score]:
        """See :meth:`Target.prepare`."""
        ids = []
        for answer in (self.positive, self.negative):
            tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
            if len(tokens) != 1:
                raise ValueError(
                    f"the answer {answer!r} is {len(tokens)} tokens, but a logit difference needs "
                    "answers of one token (often with a leading space); use Response for longer"
                )
            ids.append(tokens[0])
        positive, negative = ids

        def score(logits: torch.Tensor) -> torch.Tensor:
            last = logits[:, -1].double()
            return last[:, positive] - last[:, negative]

        return (), score
