"""Passes: forward passes of a model under many masks at once, and what readouts read of the logits.

Two kinds of work are shared. What masks agree on below a layer runs once for all of them
(:mod:`interplay.components.stages`). The tokens that prompts share at their beginning run once for
all these prompts (:mod:`interplay.components.packing`). Both need a model that allows it, which is
checked (:mod:`interplay.components.forward`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.components.ablations import Ablation, Mean, Resample, Zero
from interplay.components.architecture import Architecture, lock_of, unpadded
from interplay.components.forward import Forward, positions_of
from interplay.components.packing import (
    LogitQuery,
    Pack,
    TokenSequence,
    group_by_length,
    prefix_trees,
    separate_packs,
)
from interplay.components.patching import Site, recording, removing
from interplay.components.stages import Stage, plan_stages, run_stages, sort_rows
from interplay.text.inference.batches import Batches
from interplay.text.inference.limits import max_held_tokens, tokens_per_pass, window
from interplay.text.readouts import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Reading: TypeAlias = "tuple[LogitQuery, IntArray, torch.Tensor]"
"""A query, the masks ``(b,)`` that it was read under, and what was read, ``(b, r)``."""
_FEWER_TOKENS = 8
"""A pass for gradients has this many times fewer tokens: it keeps the states of all layers."""
_SAVED = 0.2
"""The share of the layers' work that masks must share to be sorted for it."""
_Result = TypeVar("_Result")


@dataclass
class Passes:
    """Forward passes of a model with some units removed.

    Attributes:
        model: the model.
        architecture: its layers and outputs.
        sites: where its players' units are.
        ablation: what replaces them.
        reference: the tokens of the reference texts.
    """

    model: PreTrainedModel
    architecture: Architecture
    sites: tuple[Site, ...]
    ablation: Ablation
    reference: Sequence[tuple[int, ...]]
    _cuts: tuple[int, ...] | None = field(default=None, repr=False)
    """The layers that a stage may begin with; ``None``: not checked yet."""
    _shares_prefixes: bool | None = field(default=None, repr=False)
    """Whether prompts may share tokens; ``None``: not checked yet."""

    @property
    def forward(self) -> Forward:
        """Single passes."""
        return Forward(self.model, self.architecture)

    @property
    def first_layer(self) -> int:
        """The first layer that has a unit."""
        return min(site.layer for site in self.sites)

    def readings(
        self,
        sequences: Sequence[TokenSequence],
        readouts: Sequence[Readout],
        masks: BoolArray | FloatArray,
        under: Sequence[IntArray] | None = None,
    ) -> list[list[FloatArray]]:
        """Run the model under all masks; return for each item and feed what is read, ``(m, r)``.

        Args:
            sequences: the token sequences of all items and their feeds.
            readouts: the readout of each item.
            masks: ``(m, n)``, or gates of floats from 0, removed, to 1, kept.
            under: for each item the numbers of the masks that it is read under, ascending; what is
                returned of it has a row for each of them. ``None``: all masks.
        """
        import torch

        from interplay.text.inference.matmul import faster_products

        def copied(
            passed: list[Reading],
        ) -> list[tuple[LogitQuery, IntArray, FloatArray]]:
            return [(query, rows, values.cpu().numpy()) for query, rows, values in passed]

        rows_of = [np.arange(len(masks))] * len(readouts) if under is None else under
        readings = [[np.empty((0, 0))] * len(readout.feeds) for readout in readouts]
        with torch.inference_mode(), faster_products(self.model):
            for passed in self.run(sequences, readouts, self.gates(masks), copied, under):
                for query, rows, values in passed:
                    by_feed, numbers = readings[query.item], rows_of[query.item]
                    if not by_feed[query.feed].shape[1]:
                        by_feed[query.feed] = np.full((len(numbers), values.shape[1]), np.nan)
                    by_feed[query.feed][np.searchsorted(numbers, rows)] = values
        return readings

    def gates(self, masks: BoolArray | FloatArray) -> torch.Tensor:
        """Return masks or gates on the model's device, and an n-th player that is always kept."""
        import torch

        always = np.ones((len(masks), 1), dtype=masks.dtype)
        return torch.from_numpy(np.hstack([masks, always])).to(self.model.device)

    def arrange(self, masks: BoolArray) -> IntArray:
        """Sort masks ``(m, n)`` so that neighbours share lower layers, if that saves a good part.

        Masks in a random order are better otherwise: every part of them is a fair sample.
        """
        each, n_layers = np.arange(len(masks)), len(self.architecture.layers)
        always = np.ones((len(masks), 1), dtype=np.bool_)
        order, differs = sort_rows(self.sites, np.hstack([masks, always]), each, 0 * each)
        n_run = n_layers - np.clip(differs, self.first_layer, n_layers - 1)
        n_whole = len(masks) * (n_layers - self.first_layer)
        return order if n_run.sum() <= (1 - _SAVED) * n_whole else each

    def run(
        self,
        sequences: Sequence[TokenSequence],
        readouts: Sequence[Readout],
        gates: torch.Tensor,
        use: Callable[[list[Reading]], _Result],
        under: Sequence[IntArray] | None = None,
        from_layer: int = 0,
    ) -> list[_Result]:
        """Run the model under all gates, and use what each pass reads before the next one runs.

        Args:
            sequences: the token sequences of all items and their feeds.
            readouts: the readout of each item.
            gates: of :meth:`gates`, ``(m, n + 1)``. If they require gradients, what is read can be
                differentiated.
            use: takes what one pass reads.
            under: for each item the numbers of the gates that it is read under; ``None``: all.
            from_layer: the first layer whose gates' derivatives are wanted; what lies below it is
                not differentiated, where the model can be cut there.
        """
        import torch

        results: list[_Result] = []
        with lock_of(self.model), unpadded(self.model), torch.no_grad():
            by_item = under is not None or isinstance(self.ablation, Resample)
            cuts, groups = self._shared_work(sequences, by_item)
            means = self._means()
            for group in groups:
                results += self._run(group, gates, means, cuts, readouts, use, under, from_layer)
        return results

    def under_each(self, masks: BoolArray, evaluate: Callable[[int], _Result]) -> list[_Result]:
        """Remove units from whatever passes a function makes, under one mask after the other.

        Args:
            masks: ``(m, n)``.
            evaluate: is given the number of a mask, while its units are removed.

        Raises:
            ValueError: the ablation is ``Resample``, which needs to know a pass's tokens.
        """
        if isinstance(self.ablation, Resample):
            raise ValueError(
                "ablation='resample' aligns another text with each prompt, which only scores that "
                "are read off a causal model's logits allow; use 'zero' or 'mean'"
            )
        import torch

        with lock_of(self.model):
            with torch.no_grad(), unpadded(self.model):
                means = self._means()
            results = []
            for number, gates in enumerate(self.gates(masks)):
                with removing(self.sites, gates[None], means, self._rescale):
                    results.append(evaluate(number))
        return results

    @property
    def _rescale(self) -> bool:
        return isinstance(self.ablation, Zero) and self.ablation.rescale

    def _run(
        self,
        group: list[Pack],
        gates: torch.Tensor,
        means: dict[Site, torch.Tensor],
        cuts: Sequence[int],
        readouts: Sequence[Readout],
        use: Callable[[list[Reading]], _Result],
        under: Sequence[IntArray] | None,
        from_layer: int,
    ) -> Iterator[_Result]:
        """Run packs of one length under their gates, ``(m, n + 1)``, in stages."""
        import torch

        gates_of = [
            np.arange(len(gates)) if under is None else under[pack.queries[0].item]
            for pack in group
        ]
        row_gates = np.concatenate(gates_of)
        row_packs = np.repeat(np.arange(len(group)), [len(numbers) for numbers in gates_of])
        order, differs = sort_rows(self.sites, gates.detach().cpu().numpy(), row_gates, row_packs)
        row_gates, row_packs = row_gates[order], row_packs[order]
        limit = tokens_per_pass(self.model)
        if gates.requires_grad:
            limit //= _FEWER_TOKENS
            # equal gates have derivatives of their own, and all are in the last stage
            first = max(self.first_layer, from_layer)
            differs = np.minimum(differs, first)
            cuts = [cut for cut in cuts if cut <= first]
        n_tokens, n_layers = len(group[0].ids), len(self.architecture.layers)
        stages = plan_stages(differs, n_layers, cuts, n_tokens, limit)
        resampled = self._resampled(group)
        positions = positions_of(group)
        column_of = {position: column for column, position in enumerate(positions)}

        def forward(stage: Stage, rows: IntArray, states: torch.Tensor | None) -> torch.Tensor:
            pack_of = row_packs[rows]
            packs = [group[number] for number in pack_of]
            sites = [site for site in self.sites if stage.first <= site.layer < stage.stop]
            drawn = {site: resampled[site][pack_of] for site in sites if site in resampled}
            is_last = stage.stop == n_layers
            with (
                torch.set_grad_enabled(gates.requires_grad and is_last),
                removing(sites, gates[row_gates[rows]], means | drawn, self._rescale),
            ):
                if is_last:
                    return self.forward.logits(packs, positions, stage.first, states)
                return self.forward.states(packs, stage.stop, stage.first, states)

        def read(rows: IntArray, logits: torch.Tensor) -> _Result:
            readings = []
            with torch.set_grad_enabled(gates.requires_grad):
                for number in np.unique(row_packs[rows]):
                    here = np.flatnonzero(row_packs[rows] == number)
                    for query in group[number].queries:
                        # only its own positions: a copy of all would take longer than the pass
                        columns = [column_of[position] for position in query.positions]
                        own = logits[here[:, None], [columns]]
                        values = readouts[query.item].read(query.feed, own)
                        readings.append((query, row_gates[rows[here]], values))
                return use(readings)

        batches, held = Batches(limit), max_held_tokens(self.model)
        yield from run_stages(stages, n_tokens, batches, held, forward, read)

    # --- what may be shared ----------------------------------------------------------------------

    def _shared_work(
        self, sequences: Sequence[TokenSequence], by_item: bool
    ) -> tuple[tuple[int, ...], list[list[Pack]]]:
        """Choose the layers that a stage may begin with, and the packs, by what the model allows.

        Args:
            sequences: the token sequences of all items and their feeds.
            by_item: items share no pack.
        """
        separate = separate_packs(sequences, by_item=by_item)
        if self._cuts is None:
            # some models hand on more than hidden states, but perhaps not below the first unit
            every, first = range(1, len(self.architecture.layers)), [self.first_layer]
            self._cuts = next(
                (
                    tuple(cuts)
                    for cuts in (every, first if self.first_layer else [])
                    if self.forward.is_equivalent(separate[0][0], separate[0][:1], cuts)
                ),
                (),
            )
        cuts = self._cuts
        if self.architecture.predicts != "next" or by_item:
            return cuts, separate
        # another task of the same game may have longer prompts than the one that was checked
        if len(separate[-1][0].ids) > window(self.model):
            return cuts, separate
        trees = prefix_trees(sequences)
        if self._shares_prefixes is None:
            largest = max((tree for (tree,) in trees), key=lambda tree: len(tree.queries))
            alone = [pack for group in separate for pack in group]
            self._shares_prefixes = self.forward.is_equivalent(largest, alone, cuts)
        return cuts, trees if self._shares_prefixes else separate

    # --- what replaces a unit --------------------------------------------------------------------

    def _means(self) -> dict[Site, torch.Tensor]:
        """Average what each site's units add over the reference's tokens, ``(width,)`` each."""
        if not isinstance(self.ablation, Mean):
            return {}
        sums: dict[Site, torch.Tensor] = {}
        for numbers in group_by_length(self.reference):
            for site, added in self._contributions([self.reference[n] for n in numbers]).items():
                total = added.double().sum(dim=(0, 1))
                sums[site] = sums[site] + total if site in sums else total
        n_tokens = sum(map(len, self.reference))
        return {site: (total / n_tokens).to(self.model.dtype) for site, total in sums.items()}

    def _resampled(self, group: Sequence[Pack]) -> dict[Site, torch.Tensor]:
        """Return what each site's units add in the text drawn for each pack.

        Returns:
            ``(packs, tokens, width)`` for each site; nothing for other ablations.
        """
        if not isinstance(self.ablation, Resample):
            return {}
        width = len(group[0].ids)
        texts, sources = [], []
        for pack in group:
            # all feeds of an item share the draw and the alignment: both depend on the prompt's end
            first = pack.queries[0]
            end = width if self.architecture.predicts == "mask" else first.positions[0] + 1
            prompt = tuple(pack.ids[:end].tolist())
            others = [text for text in self.reference if text != prompt] or self.reference
            rng = np.random.default_rng([self.ablation.random_state, first.item])
            texts.append(others[int(rng.integers(len(others)))])
            shift = len(texts[-1]) - end
            sources.append(np.clip(np.arange(width) + shift, 0, len(texts[-1]) - 1))
        resampled: dict[Site, torch.Tensor] = {}
        for numbers in group_by_length(texts):
            source = np.stack([sources[n] for n in numbers])
            for site, added in self._contributions([texts[n] for n in numbers]).items():
                if site not in resampled:
                    resampled[site] = added.new_zeros((len(group), width, added.shape[2]))
                resampled[site][numbers] = added[np.arange(len(numbers))[:, None], source]
        return resampled

    def _contributions(self, texts: Sequence[tuple[int, ...]]) -> dict[Site, torch.Tensor]:
        """Return what each site's units add in texts of one length, ``(texts, tokens, width)``."""
        import torch

        packs = [Pack(np.array(ids), ()) for ids in texts]

        def run(rows: list[int]) -> dict[Site, torch.Tensor]:
            with recording(self.sites, len(rows)) as recorded:
                if self.architecture.predicts is None:
                    self.forward.run([packs[number] for number in rows])
                    return dict(recorded)
                self.forward.logits([packs[number] for number in rows], [len(texts[0]) - 1])
            return dict(recorded)

        passes = Batches(tokens_per_pass(self.model)).run([len(ids) for ids in texts], run)
        parts = [recorded for _, recorded in passes]
        return {site: torch.cat([part[site] for part in parts]) for site in parts[0]}
