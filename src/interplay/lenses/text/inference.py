"""Logits of many prompts from few tokens: what prompts share is computed once.

Ablations of one text share long prefixes. A call cuts its prompts into a tree of shared prefixes
(:mod:`interplay.lenses.text.trie`), evaluates the prefixes level by level, keeps their keys and
values, and evaluates the rest of each prompt on top of them. Rows are padded on the left, their
padding is masked out and positions count from each prompt's own first token, so that every prompt
gets what it would get alone, up to rounding.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.errors import out_of_memory
from interplay.lenses.text.targets import Readout
from interplay.lenses.text.trie import Node, Trie, build, passes

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_CPU_TOKENS = 512
_GPU_TOKENS = 32768
"""Tokens per forward pass to begin with: on a CPU more gains nothing."""
_WINDOWS = (
    "sliding_window",
    "attention_chunk_size",
    "window_size",
    "attention_window_size",
    "local_attention",
)
"""Names under which configurations have the reach of their attention."""
_SHORT = 8
"""Prompts of fewer tokens have nothing to share."""
_TOLERANCE, _ROUNDINGS = 1e-3, 8.0
"""How far logits after a cached prefix may be off: a share of the largest, and in units of the
dtype's resolution."""


class Reader:
    """Reads a target off a model's logits, for many prompts at a time.

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
        self.tokens_per_pass = _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS
        self.way: str | None = None

    def values(self, prompts: Sequence[Sequence[int]], readout: Readout) -> FloatArray:
        """The target's values.

        Args:
            prompts: m lists of token ids.
            readout: what to feed after each prompt, and what to read.

        Returns:
            ``(m,)`` or ``(m, k)``.
        """
        kept: list[list[Any]] = [[None] * len(prompts) for _ in readout.feeds]
        wanted: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for feed, fed in enumerate(readout.feeds):
            for row, prompt in enumerate(prompts):
                wanted.setdefault((*prompt, *fed), []).append((feed, row))
        sequences = list(wanted)
        # where feeds differ in length the longest decides how many positions are read
        own = [
            max(len(readout.feeds[feed]) for feed, _ in wanted[sequence]) + 1
            for sequence in sequences
        ]
        for numbers, logits in self._logits(sequences, own):
            for feed, fed in enumerate(readout.feeds):
                rows = [
                    at
                    for at, number in enumerate(numbers)
                    if any(f == feed for f, _ in wanted[sequences[number]])
                ]
                if not rows:
                    continue
                read = readout.read(feed, logits[rows, -len(fed) - 1 :]).cpu().numpy()
                for at, value in zip(rows, read, strict=True):
                    for f, row in wanted[sequences[numbers[at]]]:
                        if f == feed:
                            kept[feed][row] = value
        return readout.combine([np.stack(rows) for rows in kept])

    def _logits(
        self, sequences: list[tuple[int, ...]], own: list[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Numbers of sequences, and the logits at their last positions, pass by pass."""
        longest = max(sequences, key=len)
        # padding between a prefix and what follows it would count for a window of attention
        fits = len(longest) >= _SHORT and 2 * len(longest) <= _window(self.model)
        if self.way is None and len(longest) >= _SHORT:
            self.way = self._find_out(longest, fits)
        share = fits and self.way == "shared"
        trie = build(sequences, own) if share else _unshared(sequences)
        yield from self._evaluate(trie, sequences, own)

    def _find_out(self, longest: tuple[int, ...], may_share: bool) -> str:
        """The fastest way in which a few prompts get the logits that each gets by itself."""
        import torch

        half, quarter = len(longest) // 2, len(longest) // 4
        some = [
            longest,
            longest[:half] + longest[half + quarter :],
            longest[:quarter] + longest[half:],
        ]
        with torch.inference_mode():
            alone = torch.stack(
                [
                    self.model(input_ids=torch.tensor([ids], device=self.model.device))
                    .logits[0, -1]
                    .float()
                    for ids in some
                ]
            )
        allowed = max(_TOLERANCE, _ROUNDINGS * torch.finfo(self.model.dtype).eps)
        reasons = []
        own = [1] * len(some)
        ways = {"shared": build(some, own, worth=1), "padded": _unshared(some)}
        if not may_share:
            del ways["shared"]
        for way, trie in ways.items():
            found: dict[int, torch.Tensor] = {}
            try:
                for numbers, logits in self._evaluate(trie, some, own):
                    found.update(zip(numbers, logits[:, -1].float(), strict=True))
            except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
                if out_of_memory(error):
                    raise
                reasons.append(f"{way}: {type(error).__name__}: {error}")
                continue
            logits = torch.stack([found[row] for row in range(len(some))])
            difference = float((alone - logits).abs().max() / alone.abs().max())
            if difference <= allowed:
                break
            reasons.append(f"{way}: logits differ by {difference:.1%} of the largest")
        else:
            way = "equal"
        if reasons:
            warnings.warn(
                f"{type(self.model).__name__} gives other logits after a cached prefix or padding "
                f"({'; '.join(reasons)}); its prompts are evaluated whole"
                f"{', with others of their length' if way == 'equal' else ''}, which takes longer",
                stacklevel=2,
            )
        return way

    def _evaluate(
        self, trie: Trie, sequences: list[tuple[int, ...]], own: list[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Evaluate a tree: shared prefixes level by level, then the leaves."""
        cache = _Cache(trie.shared)
        for depth in range(max((node.depth for node in trie.shared), default=-1) + 1):
            level = [n for n, node in enumerate(trie.shared) if node.depth == depth]
            for rows, _ in self._passes(trie.shared, level, sequences, cache, 1):
                cache.keep(rows)
        yield from self._passes(trie.leaves, range(len(trie.leaves)), sequences, cache, max(own))

    def _passes(
        self,
        nodes: Sequence[Node],
        numbers: Sequence[int],
        sequences: list[tuple[int, ...]],
        cache: _Cache,
        n_positions: int,
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Forward passes over nodes, the longest first, cut to the tokens that a pass may have."""
        todo = sorted(numbers, key=lambda n: (nodes[n].start - nodes[n].stop, nodes[n].start, n))
        sizes = [nodes[n].stop - nodes[n].start for n in todo]
        counts = self._counts(sizes)
        while counts:
            rows = todo[: counts[0]]
            try:
                logits = self._forward([nodes[n] for n in rows], sequences, cache, n_positions)
            except Exception as error:
                if not out_of_memory(error) or len(rows) == 1:
                    raise
                self.tokens_per_pass = max(sizes[0], len(rows) * sizes[0] // 2)
                counts = self._counts(sizes)
                continue
            yield rows, logits
            todo, sizes, counts = todo[len(rows) :], sizes[len(rows) :], counts[1:]

    def _counts(self, sizes: list[int]) -> list[int]:
        """How many rows each pass has."""
        if self.way != "equal":
            return passes(sizes, self.tokens_per_pass)
        return [
            count
            for _, same in groupby(sizes)
            for count in passes(list(same), self.tokens_per_pass)
        ]

    def _forward(
        self, rows: list[Node], sequences: list[tuple[int, ...]], cache: _Cache, n_positions: int
    ) -> torch.Tensor:
        import torch

        width = max(node.stop - node.start for node in rows)
        past = max(node.start for node in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        positions = torch.zeros_like(ids)
        attention = torch.zeros((len(rows), past + width), dtype=torch.long)
        for row, node in enumerate(rows):
            size = node.stop - node.start
            ids[row, width - size :] = torch.tensor(
                sequences[node.sequence][node.start : node.stop]
            )
            positions[row, width - size :] = torch.arange(node.start, node.stop)
            attention[row, past - node.start : past] = 1
            attention[row, past + width - size :] = 1
        inputs: dict[str, Any] = {"input_ids": ids}
        accepted = inspect.signature(self.model.forward).parameters
        if self.way != "equal":
            inputs["attention_mask"] = attention
            if "position_ids" in accepted:
                inputs["position_ids"] = positions
        inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        if "logits_to_keep" in accepted:
            inputs["logits_to_keep"] = n_positions
        with torch.inference_mode():
            if cache.size:
                inputs["past_key_values"] = cache.before(rows, past, self.model)
            logits = self.model(**inputs, use_cache=bool(cache.size)).logits
        kept: torch.Tensor = logits[:, -n_positions:]
        return kept


def _window(model: PreTrainedModel) -> float:
    """How many tokens back the model's attention reaches, where that is limited."""
    config = model.config.get_text_config(decoder=True)
    limits = [getattr(config, name, None) for name in _WINDOWS]
    return min((limit for limit in limits if limit), default=float("inf"))


def _unshared(sequences: list[tuple[int, ...]]) -> Trie:
    return Trie((), tuple(Node(-1, n, 0, len(s), 0) for n, s in enumerate(sequences)))


class _Cache:
    """The keys and values of shared prefixes, layer by layer, and the rows of a pass from them.

    Args:
        nodes: the shared prefixes; each one's tokens have a place of their own.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.size = sum(node.stop - node.start for node in nodes)
        places: list[Any] = []
        at = 0
        for node in nodes:
            before = places[node.parent] if node.parent >= 0 else np.zeros(0, dtype=np.int64)
            fresh = np.arange(at, at + node.stop - node.start)
            places.append(np.concatenate([before, fresh]))
            at += len(fresh)
        self.places = places
        """For each node the places of the whole prefix that it ends."""
        self._layers: list[Any] = []

    def before(self, rows: Sequence[Node], past: int, model: PreTrainedModel) -> Any:
        """A cache for one forward pass, that holds what lies before each row."""
        import torch
        from transformers.cache_utils import Cache

        from interplay.lenses.text.layers import StoredLayer

        # a row that is shorter than the longest reads place 0, which is masked out
        index = np.zeros((len(rows), past), dtype=np.int64)
        for row, node in enumerate(rows):
            if node.start:
                index[row, past - node.start :] = self.places[node.parent][: node.start]
        place = torch.from_numpy(index).to(model.device)
        if not self._layers:
            count = model.config.get_text_config(decoder=True).num_hidden_layers
            self._layers = [StoredLayer(self.size) for _ in range(count)]
        for layer in self._layers:
            layer.begin(place)
        return Cache(layers=self._layers)

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep the keys and values of the nodes that the last pass evaluated, row by row."""
        import torch

        width = max(self.nodes[n].stop - self.nodes[n].start for n in numbers)
        rows: list[int] = []
        columns: list[int] = []
        places: list[int] = []
        for row, n in enumerate(numbers):
            size = self.nodes[n].stop - self.nodes[n].start
            rows += [row] * size
            columns += range(width - size, width)
            places += self.places[n][-size:].tolist()
        for layer in self._layers:
            layer.keep(torch.tensor(rows), torch.tensor(columns), torch.tensor(places))
