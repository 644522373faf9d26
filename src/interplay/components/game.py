"""ComponentGame: parts of a transformer as players, its score on a task as value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.components.ablations import Ablation, Resample, Zero, as_ablation, settings_of
from interplay.components.architecture import find_architecture
from interplay.components.attribution import attributions, relevance
from interplay.components.packing import LogitQuery, TokenSequence
from interplay.components.passes import Passes
from interplay.components.patching import sites_of
from interplay.components.players import check_players, describe_players, dictionaries_of
from interplay.components.scoring import readout_of
from interplay.components.tasks import Item, LogitScore, Task
from interplay.components.units import Player
from interplay.fourier.masks import as_masks
from interplay.game import Hints
from interplay.text.digests import document_digest, model_digest, tokenizer_digest
from interplay.text.models import context_length, require_llm
from interplay.text.pipelines import model_and_tokenizer
from interplay.text.prompts.chat import TEMPLATE_TIME, ChatTemplate
from interplay.text.prompts.tokens import Encoder

if TYPE_CHECKING:
    from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase

HintKind: TypeAlias = Literal["attribution"]
"""``"attribution"``: the size of :meth:`ComponentGame.attribution` at the intact model."""
_CODE_VERSION = 2
"""Part of the fingerprint: increased when a change of the code changes values."""
_OVERHEAD = 0.05
"""The share of a call's work that may go into what its masks share."""
_FEWEST, _MOST = 64, 512


class ComponentGame:
    """How a transformer's score on a task depends on its parts.

    The value of a mask is the task's score, the mean over its items, after the units of the removed
    players are taken out of the model. The rows of one forward pass have different masks. Masks of
    a call that agree below a layer share everything below it.

    Args:
        model: a Hugging Face transformer in evaluation mode, on the device where it is to run: a
            causal language model, a masked language model, or a classifier. Or a pipeline of
            transformers with one of these.
        tokenizer: its tokenizer; ``None`` with a pipeline, which has one.
        task: the items and scores.
        players: units (``heads(model)``, ``mlps(model)``, ``layers(model)``, ``kv_groups(model)``,
            ``neurons(model, blocks=8)``, ``latents(model, ...)``, or sums of these) and ``Group``s
            of units; each unit belongs to one player.
        ablation: what replaces the contribution of a removed unit: ``"zero"``, ``"mean"``,
            ``"resample"``, or ``Zero``, ``Mean`` or ``Resample`` with their settings.
        template: for items that are chats, what the chat template is given by name besides the
            messages, as JSON.
        template_time: the time that a template sees which writes the date.
        hints: what a run expects of the players before their ablations: ``None``, nothing; or
            ``"attribution"``, that players of a large :meth:`attribution` matter more, which takes
            about as long as six ablations and pays at budgets of up to n log2 n. Values do not
            depend on it.

    Raises:
        ValueError: the model lacks a player, attention or logits; a prompt has no tokens, lacks its
            mask token, or exceeds the model's context; or no score has a gradient for the hints.
        MissingDependencyError: torch or transformers are not installed.

    Example::

        model, tokenizer = interplay.text.load_model("smollm2")
        task = Task((Item("The capital of France is", " Paris", (" London", " Rome")),))
        game = ComponentGame(model, tokenizer, task, heads(model, layers=[22, 23]))
        explanation = interplay.explain(game, budget=200)
        print(structure(explanation))
    """

    def __init__(
        self,
        model: PreTrainedModel | Pipeline,
        tokenizer: PreTrainedTokenizerBase | None,
        task: Task,
        players: Sequence[Player],
        ablation: Ablation | Literal["zero", "mean", "resample"] = "zero",
        *,
        template: Mapping[str, Any] | None = None,
        template_time: datetime = TEMPLATE_TIME,
        hints: HintKind | str | None = None,
    ) -> None:
        require_llm("ComponentGame")
        model, tokenizer = model_and_tokenizer(model, tokenizer)
        if model.training:
            raise ValueError("the model is in training mode; call model.eval() first")
        self.model = model
        self.tokenizer = tokenizer
        self._architecture = find_architecture(model)
        if self._architecture.predicts is None:
            raise ValueError(
                f"{type(model).__name__} has no logits to score answers by; load it with a head, "
                "for example by load_model(..., task='causal')"
            )
        self._players = check_players(self._architecture, players)
        self._template_settings = dict(template or {}), template_time
        # a chat's template has already added the special tokens
        ended = self._architecture.predicts != "next"
        self._encoders = {chat: Encoder(tokenizer, chat, ended) for chat in (False, True)}
        chosen = as_ablation(ablation)
        reference: list[tuple[int, ...]] = []
        if not isinstance(chosen, Zero):
            if chosen.texts is None:
                prompts = {self._text(item): self._prompt(item) for item in task.items}
                chosen, reference = replace(chosen, texts=tuple(prompts)), list(prompts.values())
            else:
                reference = self._encoded(chosen.texts, self._encoders[False])
        sites = sites_of(self._architecture, self._players)
        self._passes = Passes(model, self._architecture, sites, chosen, reference)
        self._hints = _checked(hints, task)
        self._set_task(task)

    def _set_task(self, task: Task) -> None:
        """Prepare the readouts and token sequences of a task."""
        self.task = task
        predicts, config = self._architecture.predicts, self.model.config
        self._readouts = [
            readout_of(item, task.scores, predicts, self._encoder(item), self._text(item), config)
            for item in task.items
        ]
        self._sequences = self._token_sequences(task.items)
        self._check_reference(task)

    def _check_reference(self, task: Task) -> None:
        """Refuse resampling that has nothing but the prompt itself to draw."""
        texts = set(self._passes.reference)
        if not isinstance(self._passes.ablation, Resample) or len(texts) > 1:
            return
        for number, item in enumerate(task.items):
            if texts == {self._prompt(item)}:
                raise ValueError(
                    f"ablation='resample' puts in what a unit adds in another text, and the prompt "
                    f"of item {number} is the only one there is; give a task of more items, or "
                    "Resample(texts)"
                )

    def on(self, task: Task) -> ComponentGame:
        """Make a game of the same players, removed in the same way, on other items."""
        game = copy(self)
        game._set_task(task)
        return game

    measure = "keep:0.25-0.97"
    """That of its explanations, where none is asked for: from a quarter of the model to nearly all.

    A model without most of its parts only guesses, and the question is what the intact one does.
    """

    @property
    def n_players(self) -> int:
        """The number of players."""
        return len(self._players)

    @property
    def players(self) -> tuple[str, ...]:
        """The players' names, such as ``L14.H3``."""
        return tuple(player.name for player in self._players)

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """Evaluate the task's score, mean over items: ``(m,)``, or ``(m, k)`` for k scores."""
        values = self.item_scores(masks).mean(axis=1)
        return np.asarray(values if len(self.task.scores) > 1 else values[:, 0])

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        """Evaluate each item's k scores under each mask: ``(m, items, k)``."""
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            return np.empty((0, len(self.task.items), len(self.task.scores)))
        readings = self._passes.readings(self._sequences, self._readouts, masks)
        values = [
            readout.combine(by_feed)
            for readout, by_feed in zip(self._readouts, readings, strict=True)
        ]
        return np.stack(values, axis=1)

    def attribution(self, masks: BoolArray | None = None) -> FloatArray:
        """Estimate from gradients what removing each player would change the scores by.

        This is attribution patching (Nanda 2023; Syed et al. 2023, arXiv 2310.10348): the first-
        order effect of closing the player's gate, for the game's own ablation. The equation is in
        :mod:`interplay.components.attribution`. The model is run twice, and once backwards for each
        score, whatever the number of players; ``"correct"``, a step function, has 0 for all.

        It says beforehand where ablations are likely to show something, which ``hints`` make use
        of. It is no ranking: it holds for small steps, and removal is none. Effects that saturate,
        and players that stand in for one another, are missed or have the wrong sign.

        Args:
            masks: where gradients are taken, ``(m, n)``, averaged over them; ``None``: with all
                players kept. For a player that a mask removes, it is what keeping it would change
                the scores by, with the sign of a removal.

        Returns:
            ``(n,)``, or ``(n, k)`` for k scores, in units of the score, mean over items.

        Raises:
            ValueError: there are no masks, or a ``LogitScore`` has no gradient.
        """
        if masks is None:
            masks = np.ones((1, self.n_players), dtype=np.bool_)
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            raise ValueError("there are no masks; leave them out for the intact model")
        mean = self._attributions(masks)[0].mean(axis=0)
        return np.asarray(mean if len(self.task.scores) > 1 else mean[:, 0])

    def _attributions(self, masks: BoolArray) -> tuple[FloatArray, int]:
        is_step = [score == "correct" for score in self.task.scores]
        return attributions(self._passes, self._sequences, self._readouts, masks, is_step)

    # --- tokens -----------------------------------------------------------------------------------

    def _text(self, item: Item) -> str:
        if isinstance(item.prompt, str):
            return item.prompt
        return self._template([dict(message) for message in item.prompt])

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self.tokenizer, *self._template_settings)

    def _encoder(self, item: Item) -> Encoder:
        return self._encoders[not isinstance(item.prompt, str)]

    def _prompt(self, item: Item) -> tuple[int, ...]:
        (ids,) = self._encoded([self._text(item)], self._encoder(item))
        return ids

    def _encoded(self, texts: Sequence[str], encoder: Encoder) -> list[tuple[int, ...]]:
        limit = context_length(self.model)
        encoded = [tuple(ids) for ids in encoder([[(text, False)] for text in texts])]
        for text, ids in zip(texts, encoded, strict=True):
            if not ids:
                raise ValueError(f"the text {text!r} has no tokens; give one that has some")
            if limit is not None and len(ids) > limit:
                raise ValueError(
                    f"the text {text[:40]!r} ... is {len(ids)} tokens, above the model's context "
                    f"of {limit}; shorten it"
                )
        return encoded

    def _token_sequences(self, items: Sequence[Item]) -> list[TokenSequence]:
        """List the token sequences of all items and their feeds, and what is read of each."""
        sequences = []
        limit = context_length(self.model)
        for number, (item, readout) in enumerate(zip(items, self._readouts, strict=True)):
            prompt = self._prompt(item)
            prompt = prompt[: len(prompt) - readout.n_cut]
            for feed, tokens in enumerate(readout.feeds):
                ids = (*prompt, *tokens)
                if limit is not None and len(ids) > limit:
                    raise ValueError(
                        f"item {number} and its answer are {len(ids)} tokens, above the model's "
                        f"context of {limit}; shorten it"
                    )
                positions = self._positions(number, prompt, len(tokens))
                sequences.append((ids, LogitQuery(number, feed, positions)))
        return sequences

    def _positions(self, number: int, prompt: tuple[int, ...], n_fed: int) -> tuple[int, ...]:
        """Return the positions of the logits that score an item's answer."""
        if self._architecture.predicts != "mask":
            return tuple(range(len(prompt) - 1, len(prompt) + n_fed))
        n_masks = prompt.count(self.tokenizer.mask_token_id)
        if n_masks != 1:
            raise ValueError(
                f"the prompt of item {number} holds {n_masks} mask tokens; put "
                f"{self.tokenizer.mask_token} once, where the answer goes"
            )
        return (prompt.index(self.tokenizer.mask_token_id),)

    # --- what a run asks the game, and what identifies it -----------------------------------------

    def hints(self) -> Hints | None:
        """Which players are likely to matter: those of a large :meth:`attribution`, if asked for.

        With several scores it is the root of the sum of squares, each score's attributions divided
        by their norm over all players. The cost is in tokens; a backward pass counts as two forward
        passes.

        Raises:
            ValueError: the gradient cannot be computed, such as of quantised weights.
        """
        if self._hints is None:
            return None
        intact = np.ones((1, self.n_players), dtype=np.bool_)
        try:
            effects, n_backward = self._attributions(intact)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ValueError(
                f"the gradient of the scores cannot be computed ({error}); use hints=None"
            ) from error
        cost = float(self._n_tokens * (2 + 2 * n_backward))
        return Hints(self._hints, relevance(effects[0]), cost)

    @property
    def batch_size(self) -> int:
        """How many masks a call should have. With so many, their shared work costs little."""
        n_layers, first = len(self._architecture.layers), self._passes.first_layer
        shared = first * self._n_tokens + n_layers * sum(map(len, self._passes.reference))
        n_masks = shared / (_OVERHEAD * (n_layers - first) * self._n_tokens)
        return int(np.clip(n_masks, _FEWEST, _MOST))

    @property
    def _n_tokens(self) -> int:
        return sum(len(ids) for ids, _ in self._sequences)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """An order of masks, ``(m,)``, in which neighbours agree in lower layers, if that pays."""
        return self._passes.arrange(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """Count the tokens of each ablation, those of all items: ``(m,)``."""
        return np.full(len(masks), float(self._n_tokens))

    def describe(self) -> Json:
        """Describe the model, the players, the ablation and the task as JSON."""
        name: str = self.model.config.name_or_path
        scores = [str(score) for score in self.task.scores]
        has_chats = any(not isinstance(item.prompt, str) for item in self.task.items)
        of_template = self._template.describe() if has_chats else {}
        return of_template | {
            "lens": "components",
            "view": {"kind": "grid", "title": "The components"},
            "model": Path(name).name if Path(name).is_absolute() else name,
            "architecture": type(self.model).__name__,
            "dtype": str(self.model.dtype),
            "n_layers": len(self._architecture.layers),
            "n_heads": [layer.n_heads for layer in self._architecture.layers],
            **describe_players(self._players),
            "ablation": settings_of(self._passes.ablation),
            "task": self._identity_of_task()
            | {
                "name": self.task.name,
                "predicts": self._architecture.predicts,
                "example": self.task.items[0].describe(),
            },
            "scores": scores,
            "outputs": scores if len(scores) > 1 else [],
        }

    def _identity_of_task(self) -> Json:
        items = [
            [self._text(item), item.answer, list(item.wrong), isinstance(item.prompt, str)]
            for item in self.task.items
        ]
        return {"n_items": len(items), "sha256": document_digest(items)}

    @property
    def fingerprint(self) -> str | None:
        """A hash of the weights, the tokenizer, the players, the ablation and the task.

        The weights are those of the model and of the dictionaries whose latents are players.

        ``None`` if a ``LogitScore`` has no name or the model has hooks.
        """
        nameless = any(
            isinstance(score, LogitScore) and score.name is None for score in self.task.scores
        )
        weights = model_digest(self.model)
        if weights is None or nameless:
            return None
        description = self.describe()
        identity = {key: description[key] for key in description if key not in ("model", "view")}
        identity |= {
            "code": _CODE_VERSION,
            "task": self._identity_of_task(),
            "weights": weights,
            "tokenizer": tokenizer_digest(self.tokenizer),
        }
        dictionaries = dictionaries_of(self._players)
        if dictionaries:
            digests = [dictionary.digest(self.model.device) for dictionary in dictionaries]
            identity["dictionary_digests"] = digests
        if self._passes.reference:
            identity["reference"] = self._passes.reference
        return document_digest(identity)

    def __repr__(self) -> str:
        return (
            f"ComponentGame({self.n_players} players of {type(self.model).__name__}, "
            f"{len(self.task.items)} items, {', '.join(map(str, self.task.scores))})"
        )


def _checked(hints: str | None, task: Task) -> str | None:
    if hints is None:
        return None
    if not isinstance(hints, str) or hints not in get_args(HintKind):
        raise ValueError(f"hints={hints!r} is unknown; choose attribution, or None for no hints")
    if set(task.scores) == {"correct"}:
        raise ValueError(
            f"hints={hints!r} needs a score that has a gradient, and 'correct' is a step function; "
            "add 'margin', or leave hints out"
        )
    return hints
