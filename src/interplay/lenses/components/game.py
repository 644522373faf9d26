"""ComponentGame: parts of a transformer as players, its score on a task as value."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.lenses.components.ablations import (
    Ablation,
    Mean,
    Resample,
    Zero,
    as_ablation,
    settings_of,
)
from interplay.lenses.components.anatomy import anatomy, unpadded, without_cache
from interplay.lenses.components.patching import (
    Site,
    ending_before,
    recording,
    removing,
    sites_of,
    starting_at,
)
from interplay.lenses.components.scoring import readout_of
from interplay.lenses.components.tasks import Item, LogitScore, Task
from interplay.lenses.components.units import Player, check_players
from interplay.lenses.text.models import (
    context_length,
    model_digest,
    require_llm,
    tokenizer_digest,
)
from interplay.lenses.text.reading.batches import Batches, tolerance
from interplay.lenses.text.reading.limits import tokens_per_pass
from interplay.lenses.text.targets import Readout
from interplay.masks import as_masks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CODE_VERSION = 1
"""Part of the fingerprint; raised when the same settings come to give other values."""
_OVERHEAD = 0.05
"""The share of a call that may go into what its masks have in common."""
_FEWEST, _MOST = 16, 512


@dataclass(frozen=True, eq=False)
class _Sequence:
    """Tokens that the model reads, and where its answers are read off.

    Attributes:
        ids: the tokens.
        reads: what is read: the item's number, the feed's, and the positions of the logits.
    """

    ids: tuple[int, ...]
    reads: list[tuple[int, int, slice]]


class ComponentGame:
    """How a transformer's score on a task depends on its parts.

    The value of a mask is the task's score, mean over its items, of the model without the units of
    the players that the mask leaves out. Rows of one forward pass have different masks; what lies
    below the first layer that has a player is computed once for all masks of a call.

    Args:
        model: a Hugging Face transformer in evaluation mode, on the device where it is to run: a
            causal language model, a model of mask tokens, or a classifier.
        tokenizer: its tokenizer.
        task: the items and scores.
        players: units (``heads(model)``, ``mlps(model)``, ``layers(model)``, their sums) and
            ``Group``s of units; each unit belongs to one player.
        ablation: what stands in for a removed unit: ``"zero"``, ``"mean"``, ``"resample"``, or
            ``Zero``, ``Mean`` or ``Resample`` with their settings.

    Raises:
        ValueError: players that the model does not have, a model without attention or without
            logits, a prompt without tokens, without its mask token, or beyond the model's context.
        MissingDependencyError: torch or transformers are not installed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        players: Sequence[Player],
        ablation: Ablation | Literal["zero", "mean", "resample"] = "zero",
    ) -> None:
        require_llm("ComponentGame")
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.model = model
        self.tokenizer = tokenizer
        self._found = anatomy(model)
        if self._found.answers is None:
            raise ValueError(
                f"{type(model).__name__} has no logits to score answers by; load it with a head, "
                "for example by load_model(..., task='causal')"
            )
        self._players = check_players(self._found, players)
        self._sites = sites_of(self._found, self._players)
        self._first = min(site.layer for site in self._sites)
        self._proved: bool | None = None
        self._ablation = as_ablation(ablation)
        self._begin(task)
        if not isinstance(self._ablation, Zero) and self._ablation.texts is None:
            prompts = tuple(dict.fromkeys(map(self._text, task.items)))
            self._ablation = replace(self._ablation, texts=prompts)
        self._reference = (
            [] if isinstance(self._ablation, Zero) else self._encoded(self._ablation.texts or ())
        )

    def _begin(self, task: Task) -> None:
        """Settle what is read."""
        self.task = task
        self._readouts = [
            readout_of(item, task.scores, self._found.answers, self.tokenizer, self.model.config)
            for item in task.items
        ]
        self._groups = _by_length(self._sequences(task.items))

    def on(self, task: Task) -> ComponentGame:
        """The same players, removed in the same way, judged on other items."""
        game = copy(self)
        game._begin(task)
        return game

    @property
    def n_players(self) -> int:
        """The number of players."""
        return len(self._players)

    @property
    def players(self) -> tuple[str, ...]:
        """Their names, such as ``L14.H3``."""
        return tuple(player.name for player in self._players)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """The task's score, mean over items: ``(m,)``, or ``(m, k)`` for k scores."""
        values = self.item_scores(masks).mean(axis=1)
        return np.asarray(values if len(self.task.scores) > 1 else values[:, 0])

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        """Each item's scores under each mask, ``(m, items, k)``."""
        masks = as_masks(masks, self.n_players)
        kept: list[list[FloatArray]] = [
            [np.empty((len(masks), 0))] * len(readout.feeds) for readout in self._readouts
        ]
        if not len(masks):
            return np.empty((0, len(self.task.items), len(self.task.scores)))
        with unpadded(self.model):
            shares = self._may_share()
            stand_ins = self._means()
            for group in self._groups:
                self._evaluate(group, masks, stand_ins, self._first if shares else 0, kept)
        values = [readout.combine(each) for readout, each in zip(self._readouts, kept, strict=True)]
        return np.stack(values, axis=1)

    def _evaluate(
        self,
        group: list[_Sequence],
        masks: BoolArray,
        stand_ins: dict[Site, torch.Tensor],
        first: int,
        kept: list[list[FloatArray]],
    ) -> None:
        """Fill in what is kept of the logits of sequences of one length under all masks."""
        import torch

        device = self.model.device
        ids = torch.tensor([each.ids for each in group], device=device)
        below = self._states(ids, first)
        drawn = self._drawn(group)
        always = np.ones((len(masks), 1), dtype=np.bool_)
        present = torch.from_numpy(np.hstack([masks, always])).to(device)
        n_positions = ids.shape[1] - min(where.start for each in group for *_, where in each.reads)

        def evaluate(rows: list[int]) -> list[tuple[int, int, IntArray, FloatArray]]:
            mask, sequence = np.divmod(np.array(rows), len(group))
            own = stand_ins | {site: added[sequence] for site, added in drawn.items()}
            rescale = isinstance(self._ablation, Zero) and self._ablation.rescale
            with removing(self._sites, present[mask], own, rescale):
                logits = self._logits(ids[sequence], n_positions, first, below, sequence)
            before = ids.shape[1] - n_positions if logits.ndim == 3 else 0
            read = []
            for number, each in enumerate(group):
                of_this = np.flatnonzero(sequence == number)
                if not len(of_this):
                    continue
                for item, feed, where in each.reads:
                    there = logits[of_this]
                    if logits.ndim == 3:
                        there = there[:, where.start - before : where.stop - before]
                    else:
                        there = there[:, None]
                    found = self._readouts[item].read(feed, there)
                    read.append((item, feed, mask[of_this], found.cpu().numpy()))
            return read

        sizes = [ids.shape[1]] * (len(masks) * len(group))
        for _, read in Batches(tokens_per_pass(self.model)).run(sizes, evaluate):
            for item, feed, mask, found in read:
                if not kept[item][feed].shape[1]:
                    kept[item][feed] = np.full((len(masks), found.shape[1]), np.nan)
                kept[item][feed][mask] = found

    def _logits(
        self,
        ids: torch.Tensor,
        n_positions: int,
        first: int = 0,
        below: torch.Tensor | None = None,
        sequence: IntArray | None = None,
    ) -> torch.Tensor:
        """Logits at the last positions, ``(b, n_positions, vocabulary)``, or ``(b, classes)``."""
        import torch

        given: dict[str, int] = {**without_cache(self.model)}
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            given["logits_to_keep"] = n_positions
        with torch.inference_mode():
            if below is None:
                logits: torch.Tensor = self.model(input_ids=ids, **given).logits
            else:
                with starting_at(self._found, first, below[sequence]):
                    logits = self.model(input_ids=ids, **given).logits
        return logits[:, -n_positions:] if logits.ndim == 3 else logits

    def _states(self, ids: torch.Tensor, first: int) -> torch.Tensor | None:
        """What a layer reads of sequences of one length, ``(sequences, tokens, width)``."""
        import torch

        if not first:
            return None

        def below(rows: list[int]) -> torch.Tensor:
            with torch.inference_mode(), ending_before(self._found, first) as read:
                self.model(input_ids=ids[rows], **without_cache(self.model))
            return read[0]

        passes = Batches(tokens_per_pass(self.model)).run([ids.shape[1]] * len(ids), below)
        # rows of one length stay in their order
        return torch.cat([states for _, states in passes])

    def _may_share(self) -> bool:
        """Whether starting at the first layer with a player gives what a whole pass gives.

        It does not where a later layer reads something of the skipped ones by another way than the
        hidden states. Tried once, on the shortest sequence.
        """
        if self._proved is None:
            import torch

            self._proved = False
            if self._first:
                ids = torch.tensor([self._groups[0][0].ids], device=self.model.device)
                whole = self._logits(ids, 1)
                try:
                    below = self._states(ids, self._first)
                    late = self._logits(ids, 1, self._first, below, np.zeros(1, dtype=np.int64))
                except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                    return False
                apart = float((whole - late).abs().max())
                self._proved = apart <= tolerance(self.model) * float(whole.abs().max())
        return self._proved

    # --- what stands in ---------------------------------------------------------------------------

    def _means(self) -> dict[Site, torch.Tensor]:
        """The mean over all tokens of the reference of what is added at each site."""
        if not isinstance(self._ablation, Mean):
            return {}
        sums: dict[Site, torch.Tensor] = {}
        n_tokens = sum(map(len, self._reference))
        for group in _of_one_length(self._reference):
            for site, added in self._added([self._reference[n] for n in group]).items():
                total = added.double().sum(dim=(0, 1))
                sums[site] = sums[site] + total if site in sums else total
        return {site: (total / n_tokens).to(self.model.dtype) for site, total in sums.items()}

    def _drawn(self, group: list[_Sequence]) -> dict[Site, torch.Tensor]:
        """What is added at each site in the text that was drawn for each of some sequences."""
        if not isinstance(self._ablation, Resample):
            return {}
        width = len(group[0].ids)
        texts = []
        for each in group:
            item = each.reads[0][0]
            seed = [self._ablation.random_state, item]
            drawn = self._reference[int(np.random.default_rng(seed).integers(len(self._reference)))]
            texts.append(drawn)
        result: dict[Site, torch.Tensor] = {}
        for numbers in _of_one_length(texts):
            length = len(texts[numbers[0]])
            at = np.maximum(np.arange(width) - (width - length), 0)
            for site, added in self._added([texts[n] for n in numbers]).items():
                if site not in result:
                    result[site] = added.new_zeros((len(group), width, added.shape[2]))
                result[site][numbers] = added[:, at]
        return result

    def _added(self, texts: Sequence[tuple[int, ...]]) -> dict[Site, torch.Tensor]:
        """What is added at each site in texts of one length, ``(texts, tokens, width)``."""
        import torch

        ids = torch.tensor(list(texts), device=self.model.device)

        def run(rows: list[int]) -> dict[Site, torch.Tensor]:
            with torch.inference_mode(), recording(self._sites, len(rows)) as recorded:
                self._logits(ids[rows], 1)
            return dict(recorded)

        passes = Batches(tokens_per_pass(self.model)).run([ids.shape[1]] * len(ids), run)
        parts = [recorded for _, recorded in passes]
        return {site: torch.cat([part[site] for part in parts]) for site in parts[0]}

    # --- tokens -----------------------------------------------------------------------------------

    def _text(self, item: Item) -> str:
        if isinstance(item.prompt, str):
            return item.prompt
        text: str = self.tokenizer.apply_chat_template(
            [dict(message) for message in item.prompt], tokenize=False, add_generation_prompt=True
        )
        return text

    def _encoded(self, texts: Sequence[str], special: bool = True) -> list[tuple[int, ...]]:
        limit = context_length(self.model)
        encoded = [
            tuple(ids)
            for ids in self.tokenizer(list(texts), add_special_tokens=special)["input_ids"]
        ]
        for text, ids in zip(texts, encoded, strict=True):
            if not ids:
                raise ValueError(f"the text {text!r} has no tokens; give one that has some")
            if limit is not None and len(ids) > limit:
                raise ValueError(
                    f"the text {text[:40]!r} ... is {len(ids)} tokens, above the model's context "
                    f"of {limit}; shorten it"
                )
        return encoded

    def _sequences(self, items: Sequence[Item]) -> list[_Sequence]:
        """The distinct token sequences of all items and their feeds."""
        found: dict[tuple[int, ...], _Sequence] = {}
        limit = context_length(self.model)
        for number, (item, readout) in enumerate(zip(items, self._readouts, strict=True)):
            # a chat's template has written its special tokens already
            (prompt,) = self._encoded([self._text(item)], special=isinstance(item.prompt, str))
            for feed, fed in enumerate(readout.feeds):
                ids = (*prompt, *fed)
                if limit is not None and len(ids) > limit:
                    raise ValueError(
                        f"item {number} and its answer are {len(ids)} tokens, above the model's "
                        f"context of {limit}; shorten it"
                    )
                where = self._where(number, prompt, readout, len(fed))
                found.setdefault(ids, _Sequence(ids, [])).reads.append((number, feed, where))
        return list(found.values())

    def _where(self, number: int, prompt: tuple[int, ...], readout: Readout, n_fed: int) -> slice:
        """The positions of the logits that an item's answer is read off."""
        if self._found.answers != "mask":
            return slice(len(prompt) - 1, len(prompt) + n_fed)
        if prompt.count(self.tokenizer.mask_token_id) != 1:
            raise ValueError(
                f"the prompt of item {number} holds "
                f"{prompt.count(self.tokenizer.mask_token_id)} mask tokens; put "
                f"{self.tokenizer.mask_token} once, where the answer goes"
            )
        at = prompt.index(self.tokenizer.mask_token_id)
        return slice(at, at + 1)

    # --- how it wants to be run -------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """How many masks a call should have, so that what they have in common costs little."""
        n_layers, tokens = len(self._found.layers), self._n_tokens
        common = self._first * tokens + n_layers * sum(map(len, self._reference))
        wanted = common / (_OVERHEAD * (n_layers - self._first) * tokens)
        return int(np.clip(wanted, _FEWEST, _MOST))

    @property
    def _n_tokens(self) -> int:
        return sum(len(each.ids) for group in self._groups for each in group)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Any order will do, ``(m,)``."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """How many tokens each ablation has, those of all items, ``(m,)``."""
        return np.full(len(masks), float(self._n_tokens))

    def describe(self) -> Json:
        """The model, the players, the ablation and the task, as JSON."""
        name: str = self.model.config.name_or_path
        scores = [str(score) for score in self.task.scores]
        return {
            "lens": "components",
            "model": Path(name).name if Path(name).is_absolute() else name,
            "architecture": type(self.model).__name__,
            "dtype": str(self.model.dtype),
            "n_layers": len(self._found.layers),
            "n_heads": [layer.n_heads for layer in self._found.layers],
            "units": [
                [[unit.layer, unit.kind, unit.head] for unit in player.units]
                for player in self._players
            ],
            "ablation": settings_of(self._ablation),
            "task": {"n_items": len(self.task.items), "sha256": self._task_digest()},
            "scores": scores,
            "outputs": scores if len(scores) > 1 else [],
        }

    def _task_digest(self) -> str:
        read = [
            [self._text(item), item.answer, list(item.wrong), isinstance(item.prompt, str)]
            for item in self.task.items
        ]
        return hashlib.sha256(json.dumps(read).encode()).hexdigest()

    @property
    def fingerprint(self) -> str | None:
        """A hash of the model's weights, the tokenizer, the players, the ablation and the task.

        ``None`` for a score of the user's own without a name, or a model with hooks.
        """
        nameless = any(isinstance(s, LogitScore) and s.name is None for s in self.task.scores)
        weights = model_digest(self.model)
        if weights is None or nameless:
            return None
        what = {key: value for key, value in self.describe().items() if key != "model"}
        what |= {
            "code": _CODE_VERSION,
            "weights": weights,
            "tokenizer": tokenizer_digest(self.tokenizer),
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return (
            f"ComponentGame({self.n_players} players of {type(self.model).__name__}, "
            f"{len(self.task.items)} items, {', '.join(map(str, self.task.scores))})"
        )


def _by_length(sequences: Sequence[_Sequence]) -> list[list[_Sequence]]:
    """Sequences in groups of one length, the shortest first: their passes need no padding."""
    numbers = _of_one_length([each.ids for each in sequences])
    return [[sequences[n] for n in group] for group in numbers]


def _of_one_length(texts: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """The numbers of texts of one length, the shortest first."""
    groups: dict[int, list[int]] = {}
    for number in sorted(range(len(texts)), key=lambda n: len(texts[n])):
        groups.setdefault(len(texts[number]), []).append(number)
    return list(groups.values())
