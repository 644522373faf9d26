"""ComponentGame: parts of a transformer as players, its score on a task as value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.components.ablations import Ablation, Zero, as_ablation, settings_of
from interplay.components.anatomy import anatomy
from interplay.components.packing import Read
from interplay.components.passes import Passes
from interplay.components.patching import sites_of
from interplay.components.scoring import readout_of
from interplay.components.tasks import Item, LogitScore, Task
from interplay.components.units import Player, check_players
from interplay.fourier.masks import as_masks
from interplay.text.models import (
    context_length,
    model_digest,
    require_llm,
    tokenizer_digest,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CODE_VERSION = 1
"""Part of the fingerprint; raised when the same settings come to give other values."""
_OVERHEAD = 0.05
"""The share of a call that may go into what its masks have in common."""
_FEWEST, _MOST = 16, 512


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
        chosen = as_ablation(ablation)
        reference: list[tuple[int, ...]] = []
        if not isinstance(chosen, Zero):
            if chosen.texts is None:
                own = {self._text(item): self._prompt(item) for item in task.items}
                chosen, reference = replace(chosen, texts=tuple(own)), list(own.values())
            else:
                reference = self._encoded(chosen.texts)
        sites = sites_of(self._found, self._players)
        self._passes = Passes(model, self._found, sites, chosen, reference)
        self._begin(task)

    def _begin(self, task: Task) -> None:
        """Settle what is read."""
        self.task = task
        self._readouts = [
            readout_of(item, task.scores, self._found.answers, self.tokenizer, self.model.config)
            for item in task.items
        ]
        self._sequences = self._read(task.items)

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
        if not len(masks):
            return np.empty((0, len(self.task.items), len(self.task.scores)))
        kept = self._passes.keep(self._sequences, self._readouts, masks)
        values = [readout.combine(each) for readout, each in zip(self._readouts, kept, strict=True)]
        return np.stack(values, axis=1)

    # --- tokens -----------------------------------------------------------------------------------

    def _text(self, item: Item) -> str:
        if isinstance(item.prompt, str):
            return item.prompt
        text: str = self.tokenizer.apply_chat_template(
            [dict(message) for message in item.prompt], tokenize=False, add_generation_prompt=True
        )
        return text

    def _prompt(self, item: Item) -> tuple[int, ...]:
        # a chat's template has written its special tokens already
        (ids,) = self._encoded([self._text(item)], special=isinstance(item.prompt, str))
        return ids

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

    def _read(self, items: Sequence[Item]) -> list[tuple[tuple[int, ...], Read]]:
        """The token sequences of all items and their feeds, and what is read of each."""
        sequences = []
        limit = context_length(self.model)
        for number, (item, readout) in enumerate(zip(items, self._readouts, strict=True)):
            prompt = self._prompt(item)
            for feed, fed in enumerate(readout.feeds):
                ids = (*prompt, *fed)
                if limit is not None and len(ids) > limit:
                    raise ValueError(
                        f"item {number} and its answer are {len(ids)} tokens, above the model's "
                        f"context of {limit}; shorten it"
                    )
                positions = self._positions(number, prompt, len(fed))
                sequences.append((ids, Read(number, feed, positions)))
        return sequences

    def _positions(self, number: int, prompt: tuple[int, ...], n_fed: int) -> tuple[int, ...]:
        """The positions of the logits that an item's answer is read off."""
        if self._found.answers != "mask":
            return tuple(range(len(prompt) - 1, len(prompt) + n_fed))
        if prompt.count(self.tokenizer.mask_token_id) != 1:
            raise ValueError(
                f"the prompt of item {number} holds "
                f"{prompt.count(self.tokenizer.mask_token_id)} mask tokens; put "
                f"{self.tokenizer.mask_token} once, where the answer goes"
            )
        return (prompt.index(self.tokenizer.mask_token_id),)

    # --- how it wants to be run -------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """How many masks a call should have, so that what they have in common costs little."""
        n_layers, first = len(self._found.layers), self._passes.first
        common = first * self._n_tokens + n_layers * sum(map(len, self._passes.reference))
        wanted = common / (_OVERHEAD * (n_layers - first) * self._n_tokens)
        return int(np.clip(wanted, _FEWEST, _MOST))

    @property
    def _n_tokens(self) -> int:
        return sum(len(ids) for ids, _ in self._sequences)

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
            "view": {"kind": "grid", "title": "The components"},
            "model": Path(name).name if Path(name).is_absolute() else name,
            "architecture": type(self.model).__name__,
            "dtype": str(self.model.dtype),
            "n_layers": len(self._found.layers),
            "n_heads": [layer.n_heads for layer in self._found.layers],
            "units": [
                [[unit.layer, unit.kind, unit.head] for unit in player.units]
                for player in self._players
            ],
            "ablation": settings_of(self._passes.ablation),
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
        if self._passes.reference:
            what["reference"] = self._passes.reference
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return (
            f"ComponentGame({self.n_players} players of {type(self.model).__name__}, "
            f"{len(self.task.items)} items, {', '.join(map(str, self.task.scores))})"
        )
