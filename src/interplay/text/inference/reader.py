"""A target's values for many prompts, read off a Hugging Face causal model.

Ablations of one text share long prefixes. A call cuts its prompts into a tree of prefixes
(:mod:`interplay.text.inference.trie`) and computes each prefix once
(:mod:`interplay.text.inference.forward`). It evaluates as many prompts at a time as fit in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.errors import out_of_memory
from interplay.text.inference import limits
from interplay.text.inference.equivalence import (
    SHORT,
    check_positions,
    choose_strategy,
    refuse,
)
from interplay.text.inference.forward import Forward, Strategy, with_positions
from interplay.text.inference.trie import build, flat
from interplay.text.targets import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_FEWEST = 16
"""The fewest tokens per pass: if memory does not suffice even for these, the error is raised."""


class Reader:
    """Reads a target off a model's logits, for many prompts at a time.

    A stretch of more tokens than a pass may have is evaluated piece by piece, on the keys and
    values of what precedes it. A model that cannot share prefixes gets whole prompts, the long
    ones one per pass. If the model's ``forward`` takes ``logits_to_keep``, logits are computed only
    where they are read; else for all tokens of a pass.

    Args:
        model: a Hugging Face causal model.

    Attributes:
        tokens_per_pass: the most tokens that one forward pass is given; halved when memory does not
            suffice, and remembered.
        strategy: how prompts are evaluated: ``"shared"``: shared prefixes once; ``"padded"``: whole
            prompts in padded batches; ``"equal"``: whole prompts in batches of one length, for a
            model whose logits change with padding. It is the first of these that passes the
            equivalence check with single prompts. The first call makes the check; ``None`` before.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.tokens_per_pass = limits.tokens_per_pass(model)
        self.strategy: Strategy | None = None
        self._positions_checked = False

    @cached_property
    def max_cached_tokens(self) -> int:
        """The most tokens whose keys and values are cached at a time; halved with tokens_per_pass.

        They take 1 GiB on a CPU and half of the free memory on a GPU. If the prompts of a call need
        more, they are evaluated in parts. A single long prompt is evaluated regardless.
        """
        return limits.max_cached_tokens(self.model)

    def values(self, prompts: Sequence[Sequence[int]], readout: Readout) -> FloatArray:
        """Compute the target's values after each prompt.

        Args:
            prompts: m lists of token ids.
            readout: what to append to each prompt, and what to read.

        Returns:
            ``(m,)`` or ``(m, k)``.
        """
        self._choose_strategy([*max(prompts, key=len), *max(readout.feeds, key=len)])
        sequences = [with_positions(prompt, range(len(prompt))) for prompt in prompts]
        return self._read(_Reading(sequences, [len(prompt) for prompt in prompts], readout))

    def attending(
        self, prompt: Sequence[int], attention: BoolArray, readout: Readout
    ) -> FloatArray:
        """Compute the target's values after one prompt, under attention masks.

        No token attends to a masked token, and the others keep their positions. With causal
        attention this is equivalent to leaving the masked tokens out and giving the positions of
        the others. That takes less computing, so it is what is done. The first call checks that the
        two are equivalent for the model.

        Args:
            prompt: the whole prompt's T token ids.
            attention: ``(m, T)``, True for what is attended to: in each row at least one token.
            readout: what to append to the prompt, always attended to, and what to read. What
                would be read at the prompt's end is read at the last token attended to.

        Returns:
            ``(m,)`` or ``(m, k)``.

        Raises:
            ValueError: a row masks every token, or the model does not allow masking by attention.
        """
        attention = np.asarray(attention, dtype=np.bool_)
        if attention.ndim != 2 or attention.shape[1] != len(prompt):
            raise ValueError(
                f"attention of shape {attention.shape} does not fit a prompt of "
                f"{len(prompt)} tokens; give (m, {len(prompt)})"
            )
        if not attention.any(axis=1).all():
            raise ValueError(
                "a mask leaves no token to attend to; give a prompt with fixed words around the "
                "text"
            )
        self._check_positions(prompt, len(prompt) + max(map(len, readout.feeds)))
        ids = np.asarray(prompt)
        attended = [np.flatnonzero(row) for row in attention]
        sequences = [with_positions(ids[positions], positions) for positions in attended]
        return self._read(_Reading(sequences, [len(prompt)] * len(sequences), readout))

    def _check_positions(self, prompt: Sequence[int], length: int) -> None:
        """Refuse models in which a token left out differs from a masked one.

        Args:
            prompt: the whole prompt's token ids.
            length: the tokens of the prompt and the longest that is appended.
        """
        reach = min(limits.window(self.model), limits.stable_length(self.model))
        if length > reach:
            refuse(
                self.model,
                f"beyond {reach:.0f} tokens its attention or its positions change, and the prompt "
                f"and response have {length}",
            )
        if not self._positions_checked:
            self._choose_strategy(prompt)
            check_positions(self._forward(self._strategy_for(length)), prompt)
            self._positions_checked = True

    def _choose_strategy(self, ids: Sequence[int]) -> None:
        """Choose the strategy, with parts of a prompt, unless an earlier call has."""
        if self.strategy is None:
            probe = np.resize(np.asarray(ids), max(len(ids), SHORT)).tolist()
            window = limits.window(self.model)
            self.strategy = choose_strategy(self._forward("shared"), probe, window)

    def _strategy_for(self, length: int) -> Strategy:
        """The strategy for prompts of up to ``length`` tokens."""
        assert self.strategy is not None
        if length > limits.stable_length(self.model):
            return "equal"
        if self.strategy != "shared":
            return self.strategy
        # a window of attention would count the padding between a prefix and what follows it
        if 2 * length > limits.window(self.model):
            return "single" if length > self.tokens_per_pass else "padded"
        return "shared" if length >= SHORT else "padded"

    def _forward(self, strategy: Strategy) -> Forward:
        return Forward(self.model, strategy, self.tokens_per_pass, self.max_cached_tokens)

    def _read(self, reading: _Reading) -> FloatArray:
        """Evaluate the sequences that a readout needs, part by part."""
        strategy = self._strategy_for(max(map(len, reading.n_read)))
        share = strategy in ("shared", "single")
        # neighbours in sorted order share prefixes, so a part's sequences do too
        parts = [sorted(reading.n_read)]
        while parts:
            part = parts.pop()
            n_read = [reading.n_read[sequence] for sequence in part]
            trie = build(part, n_read, longest=self.tokens_per_pass) if share else flat(part)
            # a long sequence needs its own keys and values, however many they are
            if len(part) > 1 and trie.size > max(self.max_cached_tokens, *map(len, part)):
                parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            done: set[int] = set()
            try:
                for numbers, logits in self._forward(strategy).logits(trie, part, max(n_read)):
                    reading.take([part[n] for n in numbers], logits)
                    done.update(numbers)
            except Exception as error:
                if not out_of_memory(error) or self.tokens_per_pass <= _FEWEST:
                    raise
                self.tokens_per_pass = max(
                    _FEWEST, min(self.tokens_per_pass, sum(map(len, part))) // 2
                )
                self.max_cached_tokens = max(1, self.max_cached_tokens // 2)
                parts.append([sequence for n, sequence in enumerate(part) if n not in done])
        return reading.values()


class _Reading:
    """The sequences that a readout needs, each once, and what has been read off them.

    Args:
        prompts: m prompts, as :func:`interplay.text.inference.forward.with_positions` writes them.
        ends: for each prompt, the position of the first token appended to it.
        readout: what to append to each prompt, and what to read.
    """

    def __init__(self, prompts: list[tuple[int, ...]], ends: list[int], readout: Readout) -> None:
        self._readout = readout
        self._read: list[list[Any]] = [[None] * len(prompts) for _ in readout.feeds]
        self._users: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        """For each sequence, the feeds (by number) and rows that it serves."""
        for number, feed in enumerate(readout.feeds):
            for row, (prompt, end) in enumerate(zip(prompts, ends, strict=True)):
                sequence = prompt + with_positions(feed, range(end, end + len(feed)))
                self._users.setdefault(sequence, []).append((number, row))
        self.n_read = {
            sequence: max(len(readout.feeds[number]) for number, _ in users) + 1
            for sequence, users in self._users.items()
        }
        """For each sequence, the number of last positions at which its logits are read."""

    def take(self, sequences: list[tuple[int, ...]], logits: torch.Tensor) -> None:
        """Read the logits ``(b, positions, vocabulary)`` at the ends of b sequences."""
        for number, feed in enumerate(self._readout.feeds):
            users = [[row for n, row in self._users[s] if n == number] for s in sequences]
            used = [at for at, rows in enumerate(users) if rows]
            if used:
                read = self._readout.read(number, logits[used, -len(feed) - 1 :]).cpu().numpy()
                for at, value in zip(used, read, strict=True):
                    for row in users[at]:
                        self._read[number][row] = value

    def values(self) -> FloatArray:
        """The values, ``(m,)`` or ``(m, k)``, once all sequences are read."""
        return self._readout.combine([np.stack(rows) for rows in self._read])
