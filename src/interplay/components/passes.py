"""Passes: forward passes of a model under many masks at once, and what readouts read of the logits.

Two kinds of work are shared. The layers below the first one that has a player run once for all
masks of a call. The tokens that prompts share at their beginning run once for all these prompts.
Not every model allows this. So both are checked on the model at hand before they are used: the
logits must equal those of a full pass over each sequence alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.components.ablations import Ablation, Mean, Resample, Zero
from interplay.components.architecture import Architecture, lock_of, unpadded, without_cache
from interplay.components.packing import (
    LogitQuery,
    Pack,
    TokenSequence,
    group_by_length,
    prefix_trees,
    separate_packs,
)
from interplay.components.patching import (
    Site,
    ending_before,
    recording,
    removing,
    starting_at,
)
from interplay.text.inference.batches import Batches, relative_tolerance
from interplay.text.inference.limits import tokens_per_pass, window
from interplay.text.readouts import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Reading: TypeAlias = "tuple[LogitQuery, IntArray, torch.Tensor]"
"""A query, the masks ``(b,)`` that it was read under, and what was read, ``(b, r)``."""
_FEWER_TOKENS = 8
"""A pass for gradients has this many times fewer tokens: it keeps the states of all layers."""
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
    _shares_layers: bool | None = field(default=None, repr=False)
    _shares_prefixes: bool | None = field(default=None, repr=False)
    """Whether the model allows to share this work; ``None``: not checked yet."""

    @property
    def first_layer(self) -> int:
        """The first layer that has a unit."""
        return min(site.layer for site in self.sites)

    def readings(
        self,
        sequences: Sequence[TokenSequence],
        readouts: Sequence[Readout],
        masks: BoolArray | FloatArray,
    ) -> list[list[FloatArray]]:
        """Run the model under all masks; return for each item and feed what is read, ``(m, r)``.

        Args:
            sequences: the token sequences of all items and their feeds.
            readouts: the readout of each item.
            masks: ``(m, n)``, or gates of floats from 0, removed, to 1, kept.
        """
        import torch

        def copied(passed: list[Reading]) -> list[tuple[LogitQuery, IntArray, FloatArray]]:
            return [(query, rows, values.cpu().numpy()) for query, rows, values in passed]

        readings = [[np.empty((len(masks), 0))] * len(readout.feeds) for readout in readouts]
        with torch.inference_mode():
            for passed in self.run(sequences, readouts, self.gates(masks), copied):
                for query, rows, values in passed:
                    by_feed = readings[query.item]
                    if not by_feed[query.feed].shape[1]:
                        by_feed[query.feed] = np.full((len(masks), values.shape[1]), np.nan)
                    by_feed[query.feed][rows] = values
        return readings

    def gates(self, masks: BoolArray | FloatArray) -> torch.Tensor:
        """Return masks or gates on the model's device, and an n-th player that is always kept."""
        import torch

        always = np.ones((len(masks), 1), dtype=masks.dtype)
        return torch.from_numpy(np.hstack([masks, always])).to(self.model.device)

    def run(
        self,
        sequences: Sequence[TokenSequence],
        readouts: Sequence[Readout],
        gates: torch.Tensor,
        use: Callable[[list[Reading]], _Result],
    ) -> list[_Result]:
        """Run the model under all gates, and use what each pass reads before the next one runs.

        Args:
            sequences: the token sequences of all items and their feeds.
            readouts: the readout of each item.
            gates: of :meth:`gates`, ``(m, n + 1)``. If they require gradients, what is read can be
                differentiated.
            use: takes what one pass reads.
        """
        import torch

        results: list[_Result] = []
        with lock_of(self.model), unpadded(self.model), torch.no_grad():
            first, groups = self._shared_work(sequences)
            means = self._means()
            for group in groups:
                results += self._run(group, gates, means, first, readouts, use)
        return results

    def _run(
        self,
        group: list[Pack],
        gates: torch.Tensor,
        means: dict[Site, torch.Tensor],
        first: int,
        readouts: Sequence[Readout],
        use: Callable[[list[Reading]], _Result],
    ) -> Iterator[_Result]:
        """Run packs of one length under all gates, ``(m, n + 1)``, from a layer on."""
        import torch

        states = self._states_before(group, first) if first else None
        resampled = self._resampled(group)
        rescale = isinstance(self.ablation, Zero) and self.ablation.rescale
        positions = _positions(group)
        column_of = {position: column for column, position in enumerate(positions)}

        def evaluate(rows: list[int]) -> _Result:
            mask, pack_of = np.divmod(np.array(rows), len(group))
            drawn = {site: added[pack_of] for site, added in resampled.items()}
            with torch.set_grad_enabled(gates.requires_grad):
                with removing(self.sites, gates[mask], means | drawn, rescale):
                    packs = [group[number] for number in pack_of]
                    logits = self._logits(packs, positions, first, states, pack_of)
                readings = []
                for number, pack in enumerate(group):
                    here = np.flatnonzero(pack_of == number)
                    for query in pack.queries if len(here) else ():
                        # only its own positions: a copy of all would take longer than the pass
                        columns = [column_of[position] for position in query.positions]
                        read = logits[here[:, None], [columns]]
                        values = readouts[query.item].read(query.feed, read)
                        readings.append((query, mask[here], values))
                return use(readings)

        sizes = [len(group[0].ids)] * (len(gates) * len(group))
        n_tokens = tokens_per_pass(self.model) // (_FEWER_TOKENS if gates.requires_grad else 1)
        for _, result in Batches(n_tokens).run(sizes, evaluate):
            yield result

    # --- passes ----------------------------------------------------------------------------------

    def _inputs(self, packs: Sequence[Pack]) -> dict[str, Any]:
        """Make the model's inputs from packs of one length, or from one tree several times."""
        import torch

        def tensor(array: Any) -> torch.Tensor:
            return torch.from_numpy(np.asarray(array)).to(self.model.device)

        inputs: dict[str, Any] = without_cache(self.model)
        inputs["input_ids"] = tensor([pack.ids for pack in packs])
        position_ids, attends = packs[0].position_ids, packs[0].attends
        if position_ids is not None and attends is not None:
            inputs["position_ids"] = tensor(position_ids).expand(len(packs), -1)
            hidden = torch.finfo(self.model.dtype).min
            mask = torch.zeros(attends.shape, dtype=self.model.dtype, device=self.model.device)
            mask = mask.masked_fill(~tensor(attends), hidden)
            inputs["attention_mask"] = mask.expand(len(packs), 1, *attends.shape)
        return inputs

    def _logits(
        self,
        packs: Sequence[Pack],
        positions: Sequence[int],
        first: int = 0,
        states: torch.Tensor | None = None,
        pack_of: IntArray | None = None,
    ) -> torch.Tensor:
        """Return logits, ``(b, positions, vocabulary)``; of a classifier, ``(b, positions, c)``.

        Args:
            packs: the b rows.
            positions: the positions, ascending.
            first: the layer to begin with.
            states: what it reads of each distinct pack, ``(packs, tokens, width)``.
            pack_of: for each row the number of its pack among those, ``(b,)``.
        """
        import torch

        inputs = self._inputs(packs)
        n_tokens = inputs["input_ids"].shape[1]
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            at_end = list(positions) == list(range(positions[0], n_tokens))
            inputs["logits_to_keep"] = (
                len(positions) if at_end else torch.tensor(positions, device=self.model.device)
            )
        if states is None:
            logits: torch.Tensor = self.model(**inputs).logits
        else:
            with starting_at(self.architecture, first, states[pack_of]):
                logits = self.model(**inputs).logits
        if logits.ndim == 2:
            return logits[:, None].expand(-1, len(positions), -1)
        return logits if logits.shape[1] == len(positions) else logits[:, list(positions)]

    def _states_before(self, group: Sequence[Pack], layer: int) -> torch.Tensor:
        """Return what a layer reads of packs of one length, ``(packs, tokens, width)``."""
        import torch

        def run(rows: list[int]) -> torch.Tensor:
            with ending_before(self.architecture, layer) as states:
                self.model(**self._inputs([group[number] for number in rows]))
            return states[0]

        sizes = [len(pack.ids) for pack in group]
        passes = Batches(tokens_per_pass(self.model)).run(sizes, run)
        # rows of one length stay in their order
        return torch.cat([states for _, states in passes])

    # --- what may be shared ----------------------------------------------------------------------

    def _shared_work(self, sequences: Sequence[TokenSequence]) -> tuple[int, list[list[Pack]]]:
        """Choose the layer to begin with and the packs, sharing what the model allows."""
        by_item = isinstance(self.ablation, Resample)
        separate = separate_packs(sequences, by_item=by_item)
        if self._shares_layers is None:
            self._shares_layers = self.first_layer > 0 and self._is_equivalent(
                separate[0][0], separate[0][:1], self.first_layer
            )
        first = self.first_layer if self._shares_layers else 0
        if self.architecture.predicts != "next" or by_item:
            return first, separate
        # another task of the same game may have longer prompts than the one that was checked
        if len(separate[-1][0].ids) > window(self.model):
            return first, separate
        trees = prefix_trees(sequences)
        if self._shares_prefixes is None:
            largest = max((tree for (tree,) in trees), key=lambda tree: len(tree.queries))
            alone = [pack for group in separate for pack in group]
            self._shares_prefixes = self._is_equivalent(largest, alone, first)
        return first, trees if self._shares_prefixes else separate

    def _is_equivalent(self, pack: Pack, alone: Sequence[Pack], first: int) -> bool:
        """Equivalence check: does a pack, run from a layer on, have the logits of full passes?

        Args:
            pack: the pack.
            alone: packs of one sequence; those that the pack lacks are passed over.
            first: the layer that the pack begins with.
        """
        positions = _positions([pack])
        try:
            states = self._states_before([pack], first) if first else None
            once = np.zeros(1, dtype=np.int64)
            logits = self._logits([pack], positions, first, states, once)[0]
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return False
        in_pack = {(query.item, query.feed): query for query in pack.queries}
        for single in alone:
            for query in single.queries:
                if (query.item, query.feed) not in in_pack:
                    continue
                full = self._logits([single], sorted(query.positions))[0]
                nodes = in_pack[query.item, query.feed].positions
                shared = logits[[positions.index(node) for node in nodes]]
                limit = relative_tolerance(self.model) * float(full.abs().max())
                if not float((full - shared).abs().max()) <= limit:
                    return False
        return True

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
                self._logits([packs[number] for number in rows], [len(texts[0]) - 1])
            return dict(recorded)

        passes = Batches(tokens_per_pass(self.model)).run([len(ids) for ids in texts], run)
        parts = [recorded for _, recorded in passes]
        return {site: torch.cat([part[site] for part in parts]) for site in parts[0]}


def _positions(packs: Sequence[Pack]) -> list[int]:
    """Return the positions whose logits any of the packs' queries reads, ascending."""
    return sorted({at for pack in packs for query in pack.queries for at in query.positions})
