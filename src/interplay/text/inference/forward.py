"""Forward passes over a tree of prefixes: the logits of sequences, each token computed once.

The inner nodes are evaluated level by level, and their keys and values are stored. The leaves are
evaluated last, on top of them. A row of a pass is padded on the left in two places: before the
tokens of the pass, and before the stored prefix. The padding is masked out and every token has its
own position, so each sequence gets the logits that it would get alone, up to rounding.
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

Strategy: TypeAlias = Literal["shared", "single", "padded", "equal", "alone"]
"""How sequences are evaluated; see :class:`Forward`."""
Sequences: TypeAlias = Sequence[tuple[int, ...]]
"""Token sequences as :func:`with_positions` writes them. Two of them share a prefix where these
numbers agree."""

_ID_BITS = 32
_GATHERED = 8
"""The keys and values that one pass gathers for one layer are at most an eighth of the most that
may be cached for all layers."""


def with_positions(ids: npt.ArrayLike, positions: npt.ArrayLike) -> tuple[int, ...]:
    """Write each token and its position as one number: id + 2^32 position."""
    numbers = np.asarray(positions, dtype=np.int64) << _ID_BITS | np.asarray(ids, dtype=np.int64)
    return tuple(numbers.tolist())


@dataclass(frozen=True)
class Forward:
    """How forward passes are made.

    Attributes:
        model: a Hugging Face causal model.
        strategy: ``"shared"``: shared prefixes are evaluated once; ``"single"``: the same with one
            row per pass, hence no padding; ``"padded"``, for trees without inner nodes: rows of
            different lengths share a pass; ``"equal"``, for such trees too: rows of a pass have one
            length, and the model is given neither a mask nor positions; ``"alone"``, likewise: one
            row per pass, and the model is given its tokens and nothing else.
        tokens_per_pass: the most tokens of a pass, padding included; a single row may have more.
        max_cached_tokens: the most tokens whose keys and values may be cached at a time.
    """

    model: PreTrainedModel
    strategy: Strategy
    tokens_per_pass: int
    max_cached_tokens: int

    def logits(
        self, trie: Trie, sequences: Sequences, n_positions: int
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Compute the logits at the last positions of each sequence, pass by pass.

        Args:
            trie: the tree of the sequences.
            sequences: the sequences.
            n_positions: at how many of a sequence's last positions to compute logits.

        Yields:
            The numbers of the b sequences of a pass, and their logits ``(b, n_positions or fewer,
            vocabulary)``.
        """
        from interplay.text.inference.layers import Prefixes

        prefixes = Prefixes(trie.inner, self._n_layers, self.model.device)
        for depth in range(max((node.depth for node in trie.inner), default=-1) + 1):
            level = [n for n, node in enumerate(trie.inner) if node.depth == depth]
            for rows, _ in self._passes(trie.inner, level, sequences, prefixes, 1):
                prefixes.store(rows)
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
        """Evaluate some nodes, the longest first, in passes of at most the allowed size."""
        todo = sorted(numbers, key=lambda n: (nodes[n].start - nodes[n].stop, nodes[n].start, n))
        sizes = [nodes[n].stop - nodes[n].start for n in todo]
        # rows of a few tokens each may have long prefixes, which take memory too
        longest = max(nodes[n].stop for n in todo)
        max_rows = max(1, self.max_cached_tokens * self._n_layers // _GATHERED // longest)
        max_rows = 1 if self.strategy in ("single", "alone") else max_rows
        groups = [list(same) for _, same in groupby(sizes)] if self.strategy == "equal" else [sizes]
        for count in (n for group in groups for n in passes(group, self.tokens_per_pass, max_rows)):
            rows, todo = todo[:count], todo[count:]
            yield rows, self._pass([nodes[n] for n in rows], sequences, prefixes, n_positions)

    def _pass(
        self, rows: list[Node], sequences: Sequences, prefixes: Prefixes, n_positions: int
    ) -> torch.Tensor:
        """Make one forward pass; returns the logits at the last positions of each row."""
        import torch

        from interplay.text.inference.matmul import faster_products

        width = max(node.stop - node.start for node in rows)
        past = max(node.start for node in rows)
        tokens = np.zeros((len(rows), width), dtype=np.int64)
        attention = np.zeros((len(rows), past + width), dtype=np.int64)
        for row, node in enumerate(rows):
            size = node.stop - node.start
            tokens[row, width - size :] = sequences[node.sequence][node.start : node.stop]
            attention[row, past - node.start : past] = 1
            attention[row, past + width - size :] = 1
        arrays = {"input_ids": tokens & (1 << _ID_BITS) - 1}
        accepted = inspect.signature(self.model.forward).parameters
        if self.strategy not in ("equal", "alone"):
            arrays["attention_mask"] = attention
            if "position_ids" in accepted:
                arrays["position_ids"] = tokens >> _ID_BITS
        inputs: dict[str, Any] = {
            name: torch.from_numpy(array).to(self.model.device) for name, array in arrays.items()
        }
        if "logits_to_keep" in accepted and self.strategy != "alone":
            inputs["logits_to_keep"] = n_positions
        with torch.inference_mode(), faster_products(self.model):
            if prefixes.size:
                inputs["past_key_values"] = prefixes.before(rows, past)
            logits = self.model(**inputs, use_cache=bool(prefixes.size)).logits
        last: torch.Tensor = logits[:, -n_positions:]
        return last
