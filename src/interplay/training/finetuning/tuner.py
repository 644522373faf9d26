"""FineTuning: fine-tunes a language model on many subsets of its examples at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.components.architecture import find_architecture, lock_of
from interplay.text.digests import model_digest, tokenizer_digest
from interplay.text.models import check_usable, context_length, require_llm
from interplay.training.finetuning.adapters import Method
from interplay.training.finetuning.body import Body, check_streams
from interplay.training.finetuning.examples import (
    Example,
    Question,
    checked_examples,
    checked_questions,
)
from interplay.training.finetuning.gradients import Gradients, of_answers, of_examples
from interplay.training.finetuning.head import Candidates, choose_candidates
from interplay.training.finetuning.loop import Recipe, base_scores, score, train
from interplay.training.finetuning.maps import Map, find_maps
from interplay.training.finetuning.rates import RULE, find_rate
from interplay.training.finetuning.rendering import Encoded, encode_examples, encode_questions
from interplay.training.finetuning.sequences import Fixed, fix, merged_texts, text_of
from interplay.training.finetuning.settings import Adapt, Settings, settings_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Retune = Callable[[BoolArray, IntArray], FloatArray]
"""From the rows that are kept ``(m, rows)`` and seeds ``(m,)`` to the log-probabilities of answers
and of what they are against, ``(m, questions, 2)``."""
_MOST_SUBSETS = 64


class FineTuning:
    """..."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        examples: Iterable[Example],
        *,
        layers: int | Literal["all"] = 2,
        rank: int = 4,
        targets: Sequence[str] | None = None,
        adapt: Adapt = "response",
        method: Method = "lora",
        epochs: int = 4,
        batch: int = 8,
        learning_rate: float | None = None,
        vocabulary: int | None = 2048,
        seed: int = 0,
        chat: bool = False,
        memory: float = 2.0,
    ) -> None:
        require_llm("fine-tuning a language model")
        self.settings = settings_of(
            targets,
            layers=layers,
            rank=rank,
            adapt=adapt,
            method=method,
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            vocabulary=vocabulary,
            seed=seed,
            chat=chat,
            memory=memory,
        )
        self.model = model
        self.tokenizer = tokenizer
        self.examples = checked_examples(examples)
        self._encoded = encode_examples(tokenizer, self.examples, chat)
        self._body, self._maps = _prepared(model, self.settings)
        _check_lengths(model, self._encoded, "examples")
        self._rate = learning_rate
        self._fixed: list[Fixed] | None = None

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def chat(self) -> bool:
        return self.settings.chat

    @property
    def learning_rate(self) -> float:
        """The learning rate, found on the whole set if none was given."""
        if self._rate is None:
            rows = self._rows()
            kept = np.ones((1, len(rows)), dtype=np.bool_)

            def trained(rates: FloatArray) -> FloatArray:
                seeds = np.full(len(rates), self.seed)
                values = self._tuned(kept.repeat(len(rates), 0), seeds, rates, rows, [])
                return np.concatenate(values, axis=1).mean(axis=1)

            with lock_of(self.model), self._body.open():
                base = np.concatenate(base_scores(self._body, rows)).mean()
            self._rate = find_rate(self.settings.method, trained, float(base))
        return self._rate

    @property
    def batch_size(self) -> int:
        return _MOST_SUBSETS

    def begin(self, questions: Iterable[Question]) -> Retune:
        asked = encode_questions(self.tokenizer, checked_questions(questions), self.chat)
        answers: list[Encoded] = []
        places: list[tuple[int, int]] = []
        for number, question in enumerate(asked):
            for slot, encoded in enumerate((question.answer, question.against)):
                if encoded is not None:
                    answers.append(encoded)
                    places.append((number, slot))
        _check_lengths(self.model, answers, "questions")
        rows = self._rows()
        texts, where = merged_texts(answers)
        with lock_of(self.model):
            scored = fix(self._body, texts, self.settings.adapt == "all")

        def retune(kept: BoolArray, seeds: IntArray) -> FloatArray:
            values = np.full((len(kept), len(asked), 2), np.nan)
            rates = np.full(len(kept), self.learning_rate)
            logprobs = self._tuned(kept, seeds, rates, scored, scored)
            for (number, slot), (text, part) in zip(places, where, strict=True):
                values[:, number, slot] = logprobs[text][:, part].sum(axis=1)
            return values

        return retune

    def response_logprobs(self, kept: BoolArray, seeds: IntArray) -> FloatArray:
        rates = np.full(len(kept), self.learning_rate)
        values = self._tuned(kept, seeds, rates, self._rows(), [])
        return np.stack([of_row.mean(axis=1) for of_row in values], axis=1)

    def changed(self, **settings: Any) -> FineTuning:
        return FineTuning(
            self.model, self.tokenizer, self.examples, **{**vars(self.settings), **settings}
        )

    def gradients(
        self, questions: Iterable[Question], n_draws: int = 0, random_state: int = 0
    ) -> Iterator[Gradients]:
        """Train on all examples, and give gradients at the end of each epoch, the last one last.

        Args:
            questions: whose answers' gradients are wanted.
            n_draws: labels drawn for each learned token at the end of the last epoch.
            random_state: seed of the draws.
        """
        asked = encode_questions(self.tokenizer, checked_questions(questions), self.chat)
        given = [(each.answer, each.against or each.answer) for each in asked]
        texts = [text_of(encoded) for both in given for encoded in both]
        rows, rng = self._rows(), np.random.default_rng(random_state)
        kept, seeds = np.ones((1, len(rows)), dtype=np.bool_), np.array([self.seed])
        rates, settings, body = np.array([self.learning_rate]), self.settings, self._body
        with lock_of(self.model):
            answers = fix(body, texts, settings.adapt == "all")
            for epoch in range(1, settings.epochs + 1):
                recipe = Recipe(settings.method, settings.rank, epoch, settings.batch)
                n_now = n_draws if epoch == settings.epochs else 0
                with body.open():
                    candidates = choose_candidates(body, rows, answers, settings.vocabulary)
                    vocabulary = choose_candidates(body, rows, answers, None)
                    adapters = train(
                        body, self._maps, rows, candidates, recipe, kept, seeds, rates
                    )
                    of_rows, drawn = of_examples(body, adapters, rows, candidates, n_now, rng)
                    of_both, logprobs = of_answers(body, adapters, answers, vocabulary)
                of_both = of_both.view(len(asked), 2, -1)
                logprobs = logprobs.reshape(-1, 2)
                for number, each in enumerate(asked):
                    if each.against is None:
                        of_both[number, 1], logprobs[number, 1] = 0.0, np.nan
                yield Gradients(of_rows, drawn, of_both, logprobs)

    def describe(self) -> Json:
        settings = self.settings
        n_layers = len(self._body.architecture.layers)
        n_all = len(self._body.head.weight)
        few = settings.vocabulary is not None and settings.vocabulary < n_all
        return {
            "kind": "fine-tuning",
            "model": self.model.config._name_or_path or type(self.model).__name__,
            **settings.recipe(),
            "learning_rate": self.learning_rate,
            "learning_rate_rule": RULE if settings.learning_rate is None else None,
            "optimizer": "Adam, betas 0.9 and 0.999, no decay, constant rate",
            "maps": sorted({each.name.rpartition(".")[2] for each in self._maps}),
            "approximations": settings.approximations(
                n_layers, settings.vocabulary if few else None
            ),
        }

    def identity(self) -> Json | None:
        import torch

        weights = model_digest(self.model)
        if weights is None:
            return None
        return {
            "weights": weights,
            "tokenizer": tokenizer_digest(self.tokenizer),
            **self.settings.recipe(),
            "learning_rate": self.learning_rate,
            "torch": torch.__version__.split("+")[0],
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_fixed": None}

    def _rows(self) -> list[Fixed]:
        """The examples with what no training changes in them."""
        if self._fixed is None:
            texts = [text_of(encoded) for encoded in self._encoded]
            with lock_of(self.model):
                self._fixed = fix(self._body, texts, self.settings.adapt == "all")
        return self._fixed

    def _tuned(
        self,
        kept: BoolArray,
        seeds: IntArray,
        rates: FloatArray,
        scored: Sequence[Fixed],
        needed: Sequence[Fixed],
    ) -> list[FloatArray]:
        """Log-probabilities of the targets of sequences after training, ``(m, targets)`` each."""
        settings, rows, body = self.settings, self._rows(), self._body
        recipe = Recipe(settings.method, settings.rank, settings.epochs, settings.batch)
        with lock_of(self.model), body.open():
            values = [np.tile(base, (len(kept), 1)) for base in base_scores(body, scored)]
            candidates = choose_candidates(body, rows, needed, settings.vocabulary)
            trained = np.flatnonzero(kept.any(axis=1))  # without a row, the model is as it was
            for first in range(0, len(trained), self.batch_size):
                part = trained[first : first + self.batch_size]
                adapters = train(
                    body, self._maps, rows, candidates, recipe, kept[part], seeds[part], rates[part]
                )
                for all_values, new in zip(
                    values, score(body, adapters, scored, len(part)), strict=True
                ):
                    all_values[part] = new
        return values


def _prepared(model: PreTrainedModel, settings: Settings) -> tuple[Body, tuple[Map, ...]]:
    check_usable(model)
    architecture = find_architecture(model)
    n_layers = len(architecture.layers)
    n_tuned = n_layers if settings.layers == "all" else int(settings.layers)
    if n_tuned > n_layers:
        raise ValueError(
            f"layers={n_tuned} is more than the {n_layers} layers of {type(model).__name__}; give "
            f"at most {n_layers}, or 'all'"
        )
    body = Body(model, architecture, n_layers - n_tuned)
    check_streams(body)
    return body, find_maps(model, architecture, body.first, settings.targets)


def _check_lengths(model: PreTrainedModel, encoded: Sequence[Encoded], what: str) -> None:
    limit = context_length(model)
    for number, each in enumerate(encoded):
        if limit is not None and len(each.tokens) > limit:
            raise ValueError(
                f"{what}[{number}] has {len(each.tokens)} tokens, and the model reads {limit}; "
                "shorten it or leave it out"
            )
