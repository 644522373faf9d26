"""Rewriting: a causal model writes the gaps of many prompts, sampled, each by its seed.

All prompts go on in step: each gets one token at a time, read where the text is given and drawn
where there is a gap. So no padding is needed, and the text before the first segment is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.text.prompts.resample import Gap, Given, Step

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from interplay.text.prompts.tokens import Encoder, Part

_ROWS_CPU, _ROWS_GPU = 32, 256
"""Prompts at a time. Each token is a pass over the weights, which they share."""
_FEW = 0.8
"""The share of prompts still going on at which those that are done are left out."""


@dataclass
class _Row:
    """One prompt as it is written.

    Attributes:
        steps: what is still to come.
        draw: gives numbers from 0 to 1.
        parts: the prompt so far.
        unread: characters at its end that the model has not read.
        queue: tokens that it is to read.
        drawn: the tokens drawn for the gap; ``None`` outside of gaps.
    """

    steps: list[Step]
    draw: Callable[[], float]
    parts: list[Part]
    unread: str = ""
    queue: list[int] = field(default_factory=list)
    drawn: list[int] | None = None

    @property
    def has_gaps(self) -> bool:
        """Whether anything is still to be written."""
        return self.drawn is not None or any(isinstance(step, Gap) for step in self.steps)

    def give(self, step: Step) -> str:
        """Add a part that is given; returns its text, without a second space at its beginning."""
        assert isinstance(step, Given)
        text = step.text
        if self.parts and self.parts[-1][0][-1:] == " ":
            text = text.lstrip(" ")
        self.parts.append((text, step.by_people))
        return text


class Rewriter:
    """Writes the gaps of prompts.

    Args:
        model: a causal model, in evaluation mode.
        tokenizer: its tokenizer.
        encode: of the game.
        end_of: from what is written for a gap to where the segment ends, or ``None``: it goes on.
        temperature: of the sampling.
        max_tokens: the most tokens of a segment.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        encode: Encoder,
        end_of: Callable[[str], int | None],
        temperature: float,
        max_tokens: int,
    ) -> None:
        if model.config.is_encoder_decoder or not model.can_generate():
            raise ValueError(
                f"{type(model).__name__} does not continue its prompt, so it cannot write steps "
                "again; use a causal model, or another masking than Resample"
            )
        self.model, self.tokenizer, self.encode = model, tokenizer, encode
        self.end_of, self.temperature, self.max_tokens = end_of, temperature, max_tokens
        ends = getattr(model.generation_config, "eos_token_id", None)
        self._ends = {tokenizer.eos_token_id} | set(ends if isinstance(ends, list) else [ends])

    def __call__(
        self, prompts: Sequence[Sequence[Step]], seeds: Sequence[int], n_begin: int
    ) -> list[list[Part]]:
        """The parts of each prompt with its gaps written.

        The same prompt and seed give the same text, but for rounding: logits of batches of another
        size differ by some 1e-5, and where many tokens are improbable, another of them may be drawn
        (seen in one of 16 texts that were written together and one by one).

        Args:
            prompts: their steps.
            seeds: one for each.
            n_begin: how many steps all prompts of the game begin with. What follows is read step by
                step: were it whatever these prompts happen to share, tokens, and so what is
                written, would depend on which prompts are written together.

        Raises:
            ValueError: nothing stands before a gap.
        """
        n_rows = _ROWS_CPU if self.model.device.type == "cpu" else _ROWS_GPU
        rows = [
            _Row(list(steps), np.random.default_rng(int(seed)).random, [])
            for steps, seed in zip(prompts, seeds, strict=True)
        ]
        begun = [row for row in rows if row.has_gaps]
        for row in begun:
            for _ in range(n_begin):
                row.give(row.steps.pop(0))
        for at in range(0, len(begun), n_rows):
            self._write(begun[at : at + n_rows])
        for row in rows:
            for step in row.steps:
                row.give(step)
        return [row.parts for row in rows]

    def _write(self, rows: list[_Row]) -> None:
        """Write the gaps of prompts that begin alike."""
        import torch

        (begin,) = self.encode([rows[0].parts]) if rows[0].parts else ([],)
        if not begin:
            raise ValueError(
                "nothing stands before the first segment, so that the model has nothing to go on "
                "from; give the prompt fixed words before {text}"
            )
        with torch.inference_mode():
            read = self._read(torch.tensor([begin]), None)
            past, logits = read.past_key_values, read.logits[:, -1].expand(len(rows), -1)
            if hasattr(past, "batch_repeat_interleave"):
                past.batch_repeat_interleave(len(rows))
            else:  # a cache of the model's own kind
                past = self._read(torch.tensor([begin] * len(rows)), None).past_key_values
            while True:
                chances = self._chances(logits, rows)
                tokens = [self._next(row, chances.get(at)) for at, row in enumerate(rows)]
                going = [at for at, token in enumerate(tokens) if token is not None]
                if not going:
                    return
                if len(going) <= _FEW * len(rows) and hasattr(past, "batch_select_indices"):
                    past.batch_select_indices(torch.tensor(going, device=self.model.device))
                    rows, tokens = [rows[at] for at in going], [tokens[at] for at in going]
                ids = torch.tensor([[begin[-1] if token is None else token] for token in tokens])
                read = self._read(ids, past)
                past, logits = read.past_key_values, read.logits[:, -1]

    def _read(self, ids: Any, past: Any) -> Any:
        return self.model(
            ids.to(self.model.device), past_key_values=past, use_cache=True, logits_to_keep=1
        )

    def _chances(self, logits: Any, rows: Sequence[_Row]) -> dict[int, FloatArray]:
        """The cumulated probabilities of the next token, of the prompts that may draw one."""
        drawing = [at for at, row in enumerate(rows) if not row.queue and row.has_gaps]
        if not drawing:
            return {}
        chances = (logits[drawing].double() / self.temperature).softmax(-1).cumsum(-1)
        return dict(zip(drawing, chances.cpu().numpy(), strict=True))

    def _next(self, row: _Row, chances: FloatArray | None) -> int | None:
        """The next token that a prompt reads; ``None`` if all of its gaps are written."""
        while True:
            if row.queue:
                return row.queue.pop(0)
            if row.drawn is None:
                if not row.has_gaps:
                    return None
                if not self._to_gap(row):
                    continue
            assert row.drawn is not None
            assert chances is not None
            token = int(np.searchsorted(chances, row.draw() * chances[-1], side="right"))
            token = min(token, len(chances) - 1)
            text = self._text([*row.drawn, token])
            end = 0 if token in self._ends else self.end_of(text)
            if end is None and len(row.drawn) + 1 < self.max_tokens:
                row.drawn.append(token)
                return token
            read = self._text(row.drawn)
            written = read if token in self._ends else text[:end]
            # white space behind the end may have been read already
            written = read if read.startswith(written) else written
            row.parts.append((written, True))
            row.unread, row.drawn = written[len(read) :], None

    def _to_gap(self, row: _Row) -> bool:
        """Go on to the next gap; whether nothing is to be read before it."""
        while isinstance(row.steps[0], Given):
            row.unread += row.give(row.steps.pop(0))
        if row.unread:
            row.queue = self.tokenizer(row.unread, add_special_tokens=False)["input_ids"]
            row.unread = ""
            if row.queue:
                return False
        row.steps.pop(0)
        row.drawn = []
        return True

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))
