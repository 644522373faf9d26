"""A target's values for many prompts, read off a Hugging Face causal model.

Ablations of one text share long prefixes. A call cuts its prompts into a tree of prefixes
(:mod:`interplay.text.inference.trie`) and computes each prefix once
(:mod:`interplay.text.inference.forward`). It evaluates as many prompts at a time as fit in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from interplay.text.inference.known import known
from interplay.text.inference.packing import cheapest
from interplay.text.inference.trie import flat
from interplay.text.readouts import Readout

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
            model whose logits change with padding; ``"alone"``: one by one, for a model whose
            logits change with what else is in a batch. It is the first of these that passes the
            equivalence check with single prompts. The first call makes the check, unless it is
            known of the model (:mod:`interplay.text.inference.known`); ``None`` before.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.tokens_per_pass = limits.tokens_per_pass(model)
        self.strategy: Strategy | None = None
        self._positions_checked = False
        self._packs = False

    @cached_property
    def max_cached_tokens(self) -> int:
        """The most tokens whose keys and values are cached at a time; halved with tokens_per_pass.

        They take 1 GiB on a CPU and half of the free memory on a GPU. If the prompts of a call need
        more, they are evaluated in parts. A single long prompt is evaluated regardless.
        """
        per_token = known(
            self.model, ("bytes",), 1, lambda: limits.cached_bytes_per_token(self.model)
        )
        return limits.max_cached_tokens(self.model, per_token)

    def values(
        self, prompts: Sequence[Sequence[int]], readout: Readout | Sequence[Readout]
    ) -> FloatArray:
        """Compute the target's values after each prompt.

        Args:
            prompts: m lists of token ids.
            readout: what to append to a prompt, and what to read: one for all, or one for each.

        Returns:
            ``(m,)`` or ``(m, k)``.
        """
        readouts = [readout] * len(prompts) if isinstance(readout, Readout) else readout
        feeds = {feed for one in readouts for feed in one.feeds}
        self._choose_strategy([*max(prompts, key=len), *max(sorted(feeds), key=len)])
        rows = [
            _Row(with_positions(prompt[:end], range(end)), end, readout)
            for prompt, readout in zip(prompts, readouts, strict=True)
            for end in (len(prompt) - readout.n_cut,)
        ]
        return self._read(_Reading(rows))

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
        if not attention[:, : len(prompt) - readout.n_cut].any(axis=1).all():
            raise ValueError(
                "a mask leaves no token to attend to; give a prompt with fixed words around the "
                "text"
            )
        end = len(prompt) - readout.n_cut
        self._check_positions(prompt, len(prompt) + max(map(len, readout.feeds)))
        ids = np.asarray(prompt)
        attended = [np.flatnonzero(row[:end]) for row in attention]
        sequences = [with_positions(ids[positions], positions) for positions in attended]
        return self._read(_Reading([_Row(sequence, end, readout) for sequence in sequences]))

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
            forward = self._forward(self._strategy_for(length))
            known(
                self.model,
                ("positions", forward.strategy, self.tokens_per_pass),
                len(prompt),
                lambda: check_positions(forward, prompt),
            )
            self._positions_checked = True

    def _choose_strategy(self, ids: Sequence[int]) -> None:
        """Choose the strategy, with parts of a prompt, unless an earlier call has."""
        if self.strategy is None:
            probe = np.resize(np.asarray(ids), max(len(ids), SHORT)).tolist()
            window = limits.window(self.model)
            self.strategy, self._packs = known(
                self.model,
                ("strategy", self.tokens_per_pass, window),
                len(probe),
                lambda: choose_strategy(self._forward("shared"), probe, window),
            )

    def _strategy_for(self, length: int) -> Strategy:
        """The strategy for prompts of up to ``length`` tokens."""
        assert self.strategy is not None
        if length > limits.stable_length(self.model) and self.strategy != "alone":
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
            trie, rows = flat(part), None
            if share:
                packs = self._packs and strategy == "shared"
                trie, rows = cheapest(part, n_read, self.tokens_per_pass, several=packs)
            # a long sequence needs its own keys and values, however many they are
            if len(part) > 1 and trie.size > max(self.max_cached_tokens, *map(len, part)):
                parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            done: set[int] = set()
            try:
                for numbers, logits in self._forward(strategy).logits(
                    trie, part, max(n_read), rows
                ):
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


@dataclass(frozen=True, eq=False)
class _Row:
    """A prompt and what is read after it.

    Attributes:
        prompt: as :func:`interplay.text.inference.forward.with_positions` writes it.
        end: the position of the first token appended to it.
        readout: what to append to it, and what to read.
    """

    prompt: tuple[int, ...]
    end: int
    readout: Readout


class _Reading:
    """The sequences that rows need, each once, and what has been read off them."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows
        self._read: list[list[Any]] = [[None] * len(row.readout.feeds) for row in rows]
        self._users: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        """For each sequence, the rows and feeds (by number) that it serves."""
        for at, row in enumerate(rows):
            for number, feed in enumerate(row.readout.feeds):
                sequence = row.prompt + with_positions(feed, range(row.end, row.end + len(feed)))
                self._users.setdefault(sequence, []).append((at, number))
        self.n_read = {
            sequence: max(len(rows[at].readout.feeds[number]) for at, number in users) + 1
            for sequence, users in self._users.items()
        }
        """For each sequence, the number of last positions at which its logits are read."""

    def take(self, sequences: list[tuple[int, ...]], logits: torch.Tensor) -> None:
        """Read the logits ``(b, positions, vocabulary)`` at the ends of b sequences."""
        jobs: dict[tuple[int, int], dict[int, list[int]]] = {}  # by readout and feed
        for at, sequence in enumerate(sequences):
            for row, number in self._users[sequence]:
                job = jobs.setdefault((id(self._rows[row].readout), number), {})
                job.setdefault(at, []).append(row)
        for (_, number), users in jobs.items():
            readout = self._rows[next(iter(users.values()))[0]].readout
            n_fed = len(readout.feeds[number])
            read = readout.read(number, logits[list(users), -n_fed - 1 :]).cpu().numpy()
            for rows, value in zip(users.values(), read, strict=True):
                for row in rows:
                    self._read[row][number] = value

    def values(self) -> FloatArray:
        """The values, ``(m,)`` or ``(m, k)``, once all sequences are read."""
        by_readout: dict[int, list[int]] = {}
        for at, row in enumerate(self._rows):
            by_readout.setdefault(id(row.readout), []).append(at)
        values: FloatArray | None = None
        for rows in by_readout.values():
            columns = zip(*(self._read[at] for at in rows), strict=True)
            readout = self._rows[rows[0]].readout
            combined = readout.combine([np.stack(column) for column in columns])
            if values is None:
                values = np.empty((len(self._rows), *combined.shape[1:]))
            values[rows] = combined
        assert values is not None
        return values
