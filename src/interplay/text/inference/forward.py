"""Forward passes over a tree of prefixes: the logits of sequences, each token computed once.

The inner nodes are evaluated level by level and their keys and values kept, the leaves on top of
them. Rows of a pass are padded on the left, before the tokens of the pass and before what precedes
them; the padding is masked out and positions are those of the tokens, so that every sequence gets
what it would get alone, up to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from interplay.text.inference.trie import Node, Trie, passes

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from interplay.text.inference.layers import Prefixes

Way: TypeAlias = Literal["shared", "single", "padded", "equal"]
Sequences: TypeAlias = Sequence[tuple[int, ...]]
"""Token sequences as :func:`placed` writes them: two share a prefix where these numbers agree."""

_ID_BITS = 32
_GATHERED = 8
"""A pass may gather, for each layer, this part of the keys and values that may be held in all."""


def placed(ids: npt.ArrayLike, positions: npt.ArrayLike) -> tuple[int, ...]:
    """Tokens with their positions, a number each: id + 2^32 position."""
    numbers = np.asarray(positions, dtype=np.int64) << _ID_BITS | np.asarray(ids, dtype=np.int64)
    return tuple(numbers.tolist())


@dataclass(frozen=True)
class Forward:
    """How forward passes are made.

    Attributes:
        model: a Hugging Face causal model.
        way: ``"shared"``; ``"single"``: one row per pass, hence no padding; ``"padded"``, for trees
            without inner nodes; ``"equal"``, for such trees too: rows of a pass have one length,
            and neither a mask nor positions are given.
        tokens_per_pass: the most tokens of a pass, padding included; a single row may have more.
        tokens_at_once: of how many tokens keys and values may be held.
    """

    model: PreTrainedModel
    way: Way
    tokens_per_pass: int
    tokens_at_once: int

    def logits(
        self, trie: Trie, sequences: Sequences, n_positions: int
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Numbers of sequences and the logits at their last positions, pass by pass.

        Args:
            trie: the tree of the sequences.
            sequences: the tokens.
            n_positions: how many last positions to give the logits of.

        Yields:
            b numbers and ``(b, n_positions or fewer, vocabulary)``.
        """
        from interplay.text.inference.layers import Prefixes

        prefixes = Prefixes(trie.inner, self._n_layers, self.model.device)
        for depth in range(max((node.depth for node in trie.inner), default=-1) + 1):
            level = [n for n, node in enumerate(trie.inner) if node.depth == depth]
            for rows, _ in self._passes(trie.inner, level, sequences, prefixes, 1):
                prefixes.keep(rows)
        leaves = range(len(trie.leaves))
        yield from self._passes(trie.leaves, leaves, sequences, prefixes, n_positions)

    @property
    def _n_layers(self) -> int:
        count: int = self.model.config.get_text_config(decoder=True).num_hidden_layers
        return count

    def _passes(
        self,
        nodes: Sequence[Node],
        numbers: Sequence[int],
        sequences: Sequences,
        prefixes: Prefixes,
        n_positions: int,
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Forward passes over nodes, the longest first, cut to what a pass may have."""
        todo = sorted(numbers, key=lambda n: (nodes[n].start - nodes[n].stop, nodes[n].start, n))
        sizes = [nodes[n].stop - nodes[n].start for n in todo]
        # rows of a few tokens each may together have much before them
        longest = max(nodes[n].stop for n in todo)
        most = max(1, self.tokens_at_once * self._n_layers // _GATHERED // longest)
        most = 1 if self.way == "single" else most
        groups = [list(same) for _, same in groupby(sizes)] if self.way == "equal" else [sizes]
        for count in (n for group in groups for n in passes(group, self.tokens_per_pass, most)):
            rows, todo = todo[:count], todo[count:]
            yield rows, self._pass([nodes[n] for n in rows], sequences, prefixes, n_positions)

    def _pass(
        self, rows: list[Node], sequences: Sequences, prefixes: Prefixes, n_positions: int
    ) -> torch.Tensor:
        """One forward pass; the logits at the last positions of each row."""
        import torch

        width = max(node.stop - node.start for node in rows)
        past = max(node.start for node in rows)
        tokens = np.zeros((len(rows), width), dtype=np.int64)
        attention = np.zeros((len(rows), past + width), dtype=np.int64)
        for row, node in enumerate(rows):
            size = node.stop - node.start
            tokens[row, width - size :] = sequences[node.sequence][node.start : node.stop]
            attention[row, past - node.start : past] = 1
            attention[row, past + width - size :] = 1
        given = {"input_ids": tokens & (1 << _ID_BITS) - 1}
        accepted = inspect.signature(self.model.forward).parameters
        if self.way != "equal":
            given["attention_mask"] = attention
            if "position_ids" in accepted:
                given["position_ids"] = tokens >> _ID_BITS
        inputs: dict[str, Any] = {
            name: torch.from_numpy(array).to(self.model.device) for name, array in given.items()
        }
        if "logits_to_keep" in accepted:
            inputs["logits_to_keep"] = n_positions
        with torch.inference_mode():
            if prefixes.size:
                inputs["past_key_values"] = prefixes.before(rows, past)
            logits = self.model(**inputs, use_cache=bool(prefixes.size)).logits
        kept: torch.Tensor = logits[:, -n_positions:]
        return kept
