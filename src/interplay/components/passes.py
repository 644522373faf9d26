"""Passes: what a task's readouts keep of a model's logits, under many masks at once.

What lies below the first layer that has a player is computed once for all masks of a call, what
prompts have in common at their beginning once for all of them. Both rest on how transformers are
built, so both are tried on the model at hand before they are used: what they give must be what a
whole pass over each sequence alone gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray
from interplay.components.ablations import Ablation, Mean, Resample, Zero
from interplay.components.anatomy import Anatomy, lock_of, unpadded, without_cache
from interplay.components.packing import Pack, Read, of_one_length, rows_of, trees_of
from interplay.components.patching import (
    Site,
    ending_before,
    recording,
    removing,
    starting_at,
)
from interplay.text.inference.batches import Batches, tolerance
from interplay.text.inference.limits import tokens_per_pass, window
from interplay.text.targets import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Sequences = Sequence[tuple[tuple[int, ...], Read]]
"""Token sequences, and what is read after each."""


@dataclass
class Passes:
    """Forward passes of a model with some units removed.

    Attributes:
        model: the model.
        found: its anatomy.
        sites: where its players' units are.
        ablation: what stands in for them.
        reference: the tokens of the reference texts.
    """

    model: PreTrainedModel
    found: Anatomy
    sites: tuple[Site, ...]
    ablation: Ablation
    reference: Sequence[tuple[int, ...]]
    _late: bool | None = field(default=None, repr=False)
    _trees: bool | None = field(default=None, repr=False)

    @property
    def first(self) -> int:
        """The first layer that has a unit."""
        return min(site.layer for site in self.sites)

    def keep(
        self, sequences: Sequences, readouts: Sequence[Readout], masks: BoolArray
    ) -> list[list[FloatArray]]:
        """What each item's readout keeps of each of its feeds, ``(m, r)``.

        Args:
            sequences: what is read.
            readouts: of each item.
            masks: ``(m, n)``.
        """
        import torch

        kept = [[np.empty((len(masks), 0))] * len(readout.feeds) for readout in readouts]
        always = np.ones((len(masks), 1), dtype=np.bool_)
        present = torch.from_numpy(np.hstack([masks, always])).to(self.model.device)
        with lock_of(self.model), unpadded(self.model), torch.inference_mode():
            first, groups = self._ways(sequences)
            stand_ins = self._means()
            for group in groups:
                for read, rows, found in self._group(group, present, stand_ins, first, readouts):
                    own = kept[read.item]
                    if not own[read.feed].shape[1]:
                        own[read.feed] = np.full((len(masks), found.shape[1]), np.nan)
                    own[read.feed][rows] = found
        return kept

    def _group(
        self,
        group: list[Pack],
        present: torch.Tensor,
        stand_ins: dict[Site, torch.Tensor],
        first: int,
        readouts: Sequence[Readout],
    ) -> list[tuple[Read, IntArray, FloatArray]]:
        """What is kept of packs of one length under all masks."""
        below = self._below(group, first) if first else None
        drawn = self._drawn(group)
        rescale = isinstance(self.ablation, Zero) and self.ablation.rescale
        wanted = sorted({at for pack in group for read in pack.reads for at in read.positions})
        column = {at: number for number, at in enumerate(wanted)}

        def evaluate(rows: list[int]) -> list[tuple[Read, IntArray, FloatArray]]:
            mask, which = np.divmod(np.array(rows), len(group))
            own = stand_ins | {site: added[which] for site, added in drawn.items()}
            with removing(self.sites, present[mask], own, rescale):
                logits = self._logits([group[n] for n in which], wanted, first, below, which)
            read = []
            for number, pack in enumerate(group):
                here = np.flatnonzero(which == number)
                for each in pack.reads if len(here) else ():
                    # at once: a copy of all positions for each read would take longer than the pass
                    there = logits[here[:, None], [[column[at] for at in each.positions]]]
                    found = readouts[each.item].read(each.feed, there)
                    read.append((each, mask[here], found.cpu().numpy()))
            return read

        sizes = [len(group[0].ids)] * (len(present) * len(group))
        passes = Batches(tokens_per_pass(self.model)).run(sizes, evaluate)
        return [each for _, read in passes for each in read]

    # --- passes ----------------------------------------------------------------------------------

    def _given(self, packs: Sequence[Pack]) -> dict[str, Any]:
        """The arguments of a pass over packs of one length, or over one tree several times."""
        import torch

        def tensor(array: Any) -> torch.Tensor:
            return torch.from_numpy(np.asarray(array)).to(self.model.device)

        given: dict[str, Any] = without_cache(self.model)
        given["input_ids"] = tensor([pack.ids for pack in packs])
        places, sees = packs[0].places, packs[0].sees
        if places is not None and sees is not None:
            given["position_ids"] = tensor(places).expand(len(packs), -1)
            hidden = torch.finfo(self.model.dtype).min
            mask = torch.zeros(sees.shape, dtype=self.model.dtype, device=self.model.device)
            mask = mask.masked_fill(~tensor(sees), hidden)
            given["attention_mask"] = mask.expand(len(packs), 1, *sees.shape)
        return given

    def _logits(
        self,
        packs: Sequence[Pack],
        wanted: Sequence[int],
        first: int = 0,
        below: torch.Tensor | None = None,
        which: IntArray | None = None,
    ) -> torch.Tensor:
        """Logits at some positions, ``(b, positions, vocabulary)``; of a classifier ``(b, 1, c)``.

        Args:
            packs: the rows.
            wanted: the positions, ascending.
            first: the layer to begin with.
            below: what it reads of each distinct pack.
            which: for each row its pack there.
        """
        import torch

        given = self._given(packs)
        n_tokens = given["input_ids"].shape[1]
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            at_end = list(wanted) == list(range(wanted[0], n_tokens))
            given["logits_to_keep"] = (
                len(wanted) if at_end else torch.tensor(wanted, device=self.model.device)
            )
        if below is None:
            logits: torch.Tensor = self.model(**given).logits
        else:
            with starting_at(self.found, first, below[which]):
                logits = self.model(**given).logits
        if logits.ndim == 2:
            return logits[:, None].expand(-1, len(wanted), -1)
        return logits if logits.shape[1] == len(wanted) else logits[:, list(wanted)]

    def _below(self, group: Sequence[Pack], first: int) -> torch.Tensor:
        """What a layer reads of packs of one length, ``(packs, tokens, width)``."""
        import torch

        def run(rows: list[int]) -> torch.Tensor:
            with ending_before(self.found, first) as read:
                self.model(**self._given([group[n] for n in rows]))
            return read[0]

        passes = Batches(tokens_per_pass(self.model)).run([len(p.ids) for p in group], run)
        # rows of one length stay in their order
        return torch.cat([states for _, states in passes])

    # --- what may be shared ----------------------------------------------------------------------

    def _ways(self, sequences: Sequences) -> tuple[int, list[list[Pack]]]:
        """The layer to begin with, and the packs, as far as the model can be seen to take them."""
        drawn = isinstance(self.ablation, Resample)  # for each item
        rows = rows_of(sequences, by_item=drawn)
        if self._late is None:
            self._late = self.first > 0 and self._agrees(rows[0][:1], rows[0][0], self.first)
        first = self.first if self._late else 0
        if self.found.answers != "next" or drawn:
            return first, rows
        # another task of the same game may have longer prompts than the one that was tried
        if len(rows[-1][0].ids) > window(self.model):
            return first, rows
        trees = trees_of(sequences)
        if self._trees is None:
            most = max((tree for (tree,) in trees), key=lambda tree: len(tree.reads))
            self._trees = self._agrees([pack for g in rows for pack in g], most, first)
        return first, trees if self._trees else rows

    def _agrees(self, alone: Sequence[Pack], tried: Pack, first: int) -> bool:
        """Whether a pack, from a layer on, gives what whole passes over its sequences give."""
        wanted = sorted({at for read in tried.reads for at in read.positions})
        try:
            below = self._below([tried], first) if first else None
            once = np.zeros(1, dtype=np.int64)
            logits = self._logits([tried], wanted, first, below, once)[0]
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return False
        seen = {(read.item, read.feed): read for read in tried.reads}
        for pack in alone:
            own = [read for read in pack.reads if (read.item, read.feed) in seen]
            if not own:
                continue
            for read in own:
                whole = self._logits([pack], sorted(read.positions))[0]
                at = [wanted.index(n) for n in seen[read.item, read.feed].positions]
                limit = tolerance(self.model) * float(whole.abs().max())
                if not float((whole - logits[at]).abs().max()) <= limit:
                    return False
        return True

    # --- what stands in --------------------------------------------------------------------------

    def _means(self) -> dict[Site, torch.Tensor]:
        """The mean over all tokens of the reference of what is added at each site."""
        if not isinstance(self.ablation, Mean):
            return {}
        sums: dict[Site, torch.Tensor] = {}
        for numbers in of_one_length(self.reference):
            for site, added in self._added([self.reference[n] for n in numbers]).items():
                total = added.double().sum(dim=(0, 1))
                sums[site] = sums[site] + total if site in sums else total
        n_tokens = sum(map(len, self.reference))
        return {site: (total / n_tokens).to(self.model.dtype) for site, total in sums.items()}

    def _drawn(self, group: Sequence[Pack]) -> dict[Site, torch.Tensor]:
        """What is added at each site in the text that was drawn for each of some packs."""
        if not isinstance(self.ablation, Resample):
            return {}
        width = len(group[0].ids)
        texts, places = [], []
        for pack in group:
            # the same for all feeds of an item, and in the same place: the prompt ends there
            first = pack.reads[0]
            end = width if self.found.answers == "mask" else first.positions[0] + 1
            prompt = tuple(pack.ids[:end].tolist())
            others = [text for text in self.reference if text != prompt] or self.reference
            rng = np.random.default_rng([self.ablation.random_state, first.item])
            texts.append(others[int(rng.integers(len(others)))])
            shift = len(texts[-1]) - end
            places.append(np.clip(np.arange(width) + shift, 0, len(texts[-1]) - 1))
        result: dict[Site, torch.Tensor] = {}
        for numbers in of_one_length(texts):
            at = np.stack([places[n] for n in numbers])
            for site, added in self._added([texts[n] for n in numbers]).items():
                if site not in result:
                    result[site] = added.new_zeros((len(group), width, added.shape[2]))
                result[site][numbers] = added[np.arange(len(numbers))[:, None], at]
        return result

    def _added(self, texts: Sequence[tuple[int, ...]]) -> dict[Site, torch.Tensor]:
        """What is added at each site in texts of one length, ``(texts, tokens, width)``."""
        import torch

        packs = [Pack(np.array(ids), ()) for ids in texts]

        def run(rows: list[int]) -> dict[Site, torch.Tensor]:
            with recording(self.sites, len(rows)) as recorded:
                self._logits([packs[n] for n in rows], [len(texts[0]) - 1])
            return dict(recorded)

        passes = Batches(tokens_per_pass(self.model)).run([len(ids) for ids in texts], run)
        parts = [recorded for _, recorded in passes]
        return {site: torch.cat([part[site] for part in parts]) for site in parts[0]}
