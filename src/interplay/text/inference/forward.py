"""Forward passes over a tree of prefixes: the logits of sequences, each token computed once.

The inner nodes are evaluated level by level, and their keys and values are stored. The leaves are
evaluated last, on top of them, by themselves or several in a row (:mod:`.packing`). A row of a pass
is padded on the left in two places: before the tokens of the pass, and before the stored prefix.
The padding is masked out and every token has its own position, so each sequence gets the logits
that it would get alone, up to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from interplay.text.inference.packing import Row, lay_out, n_read
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
        self,
        trie: Trie,
        sequences: Sequences,
        n_positions: int,
        rows: Sequence[Row] | None = None,
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Compute the logits at the last positions of each sequence, pass by pass.

        Args:
            trie: the tree of the sequences.
            sequences: the sequences.
            n_positions: at how many of a sequence's last positions to compute logits.
            rows: its leaves in rows. ``None``: a row for each.

        Yields:
            The numbers of the b sequences of a pass, and their logits ``(b, n_positions or fewer,
            vocabulary)``. Where fewer of a sequence's positions were asked for, in ``trie``, those
            before them are of no use.
        """
        from interplay.text.inference.layers import Prefixes

        prefixes = Prefixes(trie.inner, self._n_layers, self.model.device)
        for depth in range(max((node.depth for node in trie.inner), default=-1) + 1):
            level = [n for n, node in enumerate(trie.inner) if node.depth == depth]
            for numbers, _ in self._passes(trie.inner, level, sequences, prefixes, 1):
                prefixes.store(numbers)
        if rows is None or all(len(row.leaves) == 1 for row in rows):
            leaves = range(len(trie.leaves))
            yield from self._passes(trie.leaves, leaves, sequences, prefixes, n_positions)
        else:
            yield from self._packed(trie, rows, sequences, prefixes, n_positions)

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

        width = max(node.stop - node.start for node in rows)
        past = max(node.start for node in rows)
        tokens = np.zeros((len(rows), width), dtype=np.int64)
        attention = np.zeros((len(rows), past + width), dtype=np.int64)
        for row, node in enumerate(rows):
            size = node.stop - node.start
            tokens[row, width - size :] = sequences[node.sequence][node.start : node.stop]
            attention[row, past - node.start : past] = 1
            attention[row, past + width - size :] = 1
        if self.strategy in ("equal", "alone"):
            return self._run(tokens, None, rows, prefixes, n_positions)
        return self._run(tokens, torch.from_numpy(attention), rows, prefixes, n_positions)

    def _packed(
        self,
        trie: Trie,
        rows: Sequence[Row],
        sequences: Sequences,
        prefixes: Prefixes,
        n_positions: int,
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Evaluate rows of several leaves, the longest first."""
        todo = sorted(
            rows, key=lambda row: (-row.size, trie.leaves[row.leaves[0]].start, row.leaves)
        )
        longest = max(leaf.start for leaf in trie.leaves) + todo[0].size
        max_rows = max(1, self.max_cached_tokens * self._n_layers // _GATHERED // longest)
        for count in passes([row.size for row in todo], self.tokens_per_pass, max_rows):
            part, todo = todo[:count], todo[count:]
            logits = self._packed_pass(part, trie, sequences, prefixes, n_positions)
            yield [number for row in part for number in row.leaves], logits

    def _packed_pass(
        self,
        rows: Sequence[Row],
        trie: Trie,
        sequences: Sequences,
        prefixes: Prefixes,
        n_positions: int,
    ) -> torch.Tensor:
        """Make one forward pass over such rows; returns the logits of each leaf in turn."""
        import torch

        firsts = [trie.leaves[row.leaves[0]] for row in rows]
        width, past = rows[0].size, max(node.start for node in firsts)
        n_kept = max(
            sum(row_reads) for row_reads in (n_read(row, trie, n_positions) for row in rows)
        )
        tokens = np.zeros((len(rows), width), dtype=np.int64)
        attends = np.zeros((len(rows), 1, width, past + width), dtype=np.bool_)
        # padding attends to itself, since a token with nothing to attend to is undefined
        attends[:, 0, np.arange(width), past + np.arange(width)] = True
        where: list[tuple[int, list[int]]] = []
        for at, (row, node) in enumerate(zip(rows, firsts, strict=True)):
            layout = lay_out(row, trie, n_positions)
            begin = width - row.size
            tokens[at, begin:] = [
                sequences[leaf][position]
                for leaf, position in zip(layout.leaf, layout.position, strict=True)
            ]
            attends[at, 0, begin:, past - node.start : past] = True
            attends[at, 0, begin:, past + begin :] = layout.attends
            stop = n_kept - sum(layout.n_read)
            for count in layout.n_read:
                stop += count
                # the last positions of a leaf; where they are too few, the first is repeated
                where.append((at, [max(stop - n, stop - count) for n in range(n_positions, 0, -1)]))
        least = torch.finfo(self.model.dtype).min
        mask = torch.zeros(attends.shape, dtype=self.model.dtype)
        mask.masked_fill_(torch.from_numpy(~attends), least)
        logits = self._run(tokens, mask, firsts, prefixes, n_kept)
        places = torch.tensor([places for _, places in where], device=logits.device)
        return logits[torch.tensor([[at] for at, _ in where], device=logits.device), places]

    def _run(
        self,
        tokens: npt.NDArray[np.int64],
        attention: torch.Tensor | None,
        nodes: Sequence[Node],
        prefixes: Prefixes,
        n_kept: int,
    ) -> torch.Tensor:
        """Make one forward pass; returns the logits at the last positions of each row.

        Args:
            tokens: each row's tokens and their positions, ``(b, width)``.
            attention: the mask, ``(b, past + width)``, or ``(b, 1, width, past + width)`` to be
                added. ``None``: the model is given neither a mask nor positions.
            nodes: for each row a node that begins where its prefix ends.
            prefixes: the prefixes.
            n_kept: the number of last positions.
        """
        import torch

        from interplay.text.inference.matmul import faster_products

        accepted = inspect.signature(self.model.forward).parameters
        inputs: dict[str, Any] = {"input_ids": torch.from_numpy(tokens & (1 << _ID_BITS) - 1)}
        if attention is not None:
            inputs["attention_mask"] = attention
            if "position_ids" in accepted:
                inputs["position_ids"] = torch.from_numpy(tokens >> _ID_BITS)
        inputs = {name: array.to(self.model.device) for name, array in inputs.items()}
        if "logits_to_keep" in accepted and self.strategy != "alone":
            inputs["logits_to_keep"] = n_kept
        with torch.inference_mode(), faster_products(self.model):
            if prefixes.size:
                past = max(node.start for node in nodes)
                inputs["past_key_values"] = prefixes.before(nodes, past)
            logits = self.model(**inputs, use_cache=bool(prefixes.size)).logits
        last: torch.Tensor = logits[:, -n_kept:]
        return last
