"""A target's values for many prompts, off a Hugging Face causal model.

Ablations of one text share long prefixes. A call cuts its prompts into a tree of them
(:mod:`interplay.text.inference.trie`) and computes each once
(:mod:`interplay.text.inference.forward`); it takes as many prompts at a time as memory
suffices for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.errors import out_of_memory
from interplay.text.inference import limits
from interplay.text.inference.equivalence import SHORT, check_positions, find_way, refuse
from interplay.text.inference.forward import Forward, Way, placed
from interplay.text.inference.trie import build, whole
from interplay.text.targets import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_FEWEST = 16
"""Tokens per pass at which a lack of memory is given up on."""


class Reader:
    """Reads a target off a model's logits, for many prompts at a time.

    Stretches of more tokens than a pass may have are evaluated piece by piece, on the keys and
    values of what lies before; where a model does not share prefixes its prompts go whole, the long
    ones one per pass. Logits are made only where they are read, if the model's ``forward`` takes
    ``logits_to_keep``; else for all tokens of a pass.

    Args:
        model: a Hugging Face causal model.

    Attributes:
        tokens_per_pass: the most tokens that one forward pass is given; halved when memory does not
            suffice, and remembered.
        way: how prompts are evaluated: ``"shared"``, prefixes once; ``"padded"``, whole, in padded
            batches; ``"equal"``, whole, in batches of one length without padding, for a model that
            minds it. The first of them that gives the logits of a few single prompts; found out
            in the first call, ``None`` before.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.tokens_per_pass = limits.tokens_per_pass(model)
        self.way: Way | None = None
        self._keeps_positions = False

    @cached_property
    def tokens_at_once(self) -> int:
        """Of how many tokens keys and values are held at a time; halved with tokens_per_pass.

        1 GiB of them on a CPU, half of what is free on a GPU. A call whose prompts need more takes
        them in parts; a single long prompt goes on regardless.
        """
        return limits.tokens_at_once(self.model)

    def values(self, prompts: Sequence[Sequence[int]], readout: Readout) -> FloatArray:
        """The target's values after each prompt.

        Args:
            prompts: m lists of token ids.
            readout: what to feed after each prompt, and what to read.

        Returns:
            ``(m,)`` or ``(m, k)``.
        """
        self._find_way([*max(prompts, key=len), *max(readout.feeds, key=len)])
        wanted = [placed(prompt, range(len(prompt))) for prompt in prompts]
        return self._read(_Reading(wanted, [len(prompt) for prompt in prompts], readout))

    def attending(
        self, prompt: Sequence[int], attention: BoolArray, readout: Readout
    ) -> FloatArray:
        """The target's values after one prompt, under masks of what is attended to.

        No token attends to those left out, and the others keep their positions. With causal
        attention that is the same as leaving them out and giving the others' positions, which
        takes less computing and is what is done; the first call sees that it holds for the model.

        Args:
            prompt: the whole prompt's T token ids.
            attention: ``(m, T)``, True for what is attended to: in each row at least one token.
            readout: what to feed after the prompt, always attended to, and what to read; what
                would be read at the prompt's end is read at the last token attended to.

        Returns:
            ``(m,)`` or ``(m, k)``.

        Raises:
            ValueError: a row without a token, or a model with which this does not go.
        """
        attention = np.asarray(attention, dtype=np.bool_)
        if attention.ndim != 2 or attention.shape[1] != len(prompt):
            raise ValueError(
                f"attention of shape {attention.shape} does not go with a prompt of "
                f"{len(prompt)} tokens; give (m, {len(prompt)})"
            )
        if not attention.any(axis=1).all():
            raise ValueError(
                "a mask leaves no token to attend to; give a prompt with fixed words around the "
                "text"
            )
        self._check_positions(prompt, len(prompt) + max(map(len, readout.feeds)))
        ids = np.asarray(prompt)
        kept = [np.flatnonzero(row) for row in attention]
        wanted = [placed(ids[places], places) for places in kept]
        return self._read(_Reading(wanted, [len(prompt)] * len(kept), readout))

    def _check_positions(self, prompt: Sequence[int], length: int) -> None:
        reach = min(limits.window(self.model), limits.unchanging(self.model))
        if length > reach:
            refuse(
                self.model,
                f"beyond {reach:.0f} tokens its attention or its positions change, and the prompt "
                f"and response have {length}",
            )
        if not self._keeps_positions:
            self._find_way(prompt)
            check_positions(self._forward(self._way(length)), prompt)
            self._keeps_positions = True

    def _find_way(self, ids: Sequence[int]) -> None:
        if self.way is None:
            probe = np.resize(np.asarray(ids), max(len(ids), SHORT)).tolist()
            self.way = find_way(self._forward("shared"), probe, limits.window(self.model))

    def _way(self, length: int) -> Way:
        """How to evaluate prompts of which the longest has so many tokens."""
        assert self.way is not None
        if length > limits.unchanging(self.model):
            return "equal"
        if self.way != "shared":
            return self.way
        # padding between a prefix and what follows it would count for a window of attention
        if 2 * length > limits.window(self.model):
            return "single" if length > self.tokens_per_pass else "padded"
        return "shared" if length >= SHORT else "padded"

    def _forward(self, way: Way) -> Forward:
        return Forward(self.model, way, self.tokens_per_pass, self.tokens_at_once)

    def _read(self, reading: _Reading) -> FloatArray:
        """Evaluate what a readout needs, part by part."""
        way = self._way(max(map(len, reading.own)))
        parts = [sorted(reading.own)]  # neighbours share prefixes, so each part's sequences do
        while parts:
            part = parts.pop()
            own = [reading.own[sequence] for sequence in part]
            share = way in ("shared", "single")
            trie = build(part, own, longest=self.tokens_per_pass) if share else whole(part)
            # a long sequence needs its own keys and values, however many they are
            if len(part) > 1 and trie.size > max(self.tokens_at_once, *map(len, part)):
                parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            done: set[int] = set()
            try:
                for numbers, logits in self._forward(way).logits(trie, part, max(own)):
                    reading.take([part[n] for n in numbers], logits)
                    done.update(numbers)
            except Exception as error:
                if not out_of_memory(error) or self.tokens_per_pass <= _FEWEST:
                    raise
                self.tokens_per_pass = max(
                    _FEWEST, min(self.tokens_per_pass, sum(map(len, part))) // 2
                )
                self.tokens_at_once = max(1, self.tokens_at_once // 2)
                parts.append([sequence for n, sequence in enumerate(part) if n not in done])
        return reading.values()


class _Reading:
    """The sequences that a readout needs, each once, and what has been read of them.

    Args:
        prompts: m prompts, as :func:`interplay.text.inference.forward.placed` writes them.
        ends: for each, the position at which what is fed begins.
        readout: what to feed after each prompt, and what to read.
    """

    def __init__(self, prompts: list[tuple[int, ...]], ends: list[int], readout: Readout) -> None:
        self._readout = readout
        self._kept: list[list[Any]] = [[None] * len(prompts) for _ in readout.feeds]
        self._users: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for feed, fed in enumerate(readout.feeds):
            for row, (prompt, end) in enumerate(zip(prompts, ends, strict=True)):
                sequence = prompt + placed(fed, range(end, end + len(fed)))
                self._users.setdefault(sequence, []).append((feed, row))
        self.own = {
            sequence: max(len(readout.feeds[feed]) for feed, _ in users) + 1
            for sequence, users in self._users.items()
        }
        """For each sequence, at how many of its last positions the logits are read."""

    def take(self, sequences: list[tuple[int, ...]], logits: torch.Tensor) -> None:
        """Read the logits ``(b, positions, vocabulary)`` at the ends of b sequences."""
        for feed, fed in enumerate(self._readout.feeds):
            users = [[row for f, row in self._users[s] if f == feed] for s in sequences]
            rows = [at for at, each in enumerate(users) if each]
            if rows:
                read = self._readout.read(feed, logits[rows, -len(fed) - 1 :]).cpu().numpy()
                for at, value in zip(rows, read, strict=True):
                    for row in users[at]:
                        self._kept[feed][row] = value

    def values(self) -> FloatArray:
        """The values, ``(m,)`` or ``(m, k)``, once all sequences were taken."""
        return self._readout.combine([np.stack(rows) for rows in self._kept])
