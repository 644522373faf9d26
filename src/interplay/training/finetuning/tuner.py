"""FineTuning: fine-tunes a language model on many subsets of its examples at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.text.digests import model_digest, tokenizer_digest
from interplay.text.models import require_llm
from interplay.training.finetuning.adapters import Method
from interplay.training.finetuning.engine import Engine
from interplay.training.finetuning.examples import (
    Example,
    Question,
    checked_examples,
    checked_questions,
)
from interplay.training.finetuning.gradients import Gradients, gradients_along
from interplay.training.finetuning.limits import check_lengths
from interplay.training.finetuning.rates import RULE, find_rate
from interplay.training.finetuning.rendering import Encoded, encode_examples, encode_questions
from interplay.training.finetuning.sequences import merged_texts
from interplay.training.finetuning.settings import Adapt, settings_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Retune = Callable[[BoolArray, IntArray], FloatArray]
"""From the rows that are kept ``(m, rows)`` and seeds ``(m,)`` to the log-probabilities of answers
and of what they are against, ``(m, questions, 2)``."""


class FineTuning:
    """Fine-tunes a causal language model on many subsets of its examples at once.

    The recipe is ordinary low-rank adaptation (LoRA, Hu et al. 2021, arXiv 2106.09685) with Adam
    (betas 0.9 and 0.999, a constant learning rate, no decay, no dropout). One seed determines the
    adapters' initial values, drawn as peft draws them, and the order of the examples in each epoch,
    ``torch.randperm`` of all rows, which is cut into minibatches of ``batch`` rows. A subset drops
    its removed rows from the minibatches. So all subsets make the same steps. The loss of a step is
    the mean cross-entropy over the response tokens of the rows that are kept; a minibatch without
    one changes nothing, not even Adam's averages. After training, answers are scored by their
    log-probability over the whole vocabulary. Without rows the model is the one given.

    With ``layers="all"``, ``adapt="all"`` and ``vocabulary=None`` this is what peft and
    ``torch.optim.Adam`` compute, up to the rounding of float32. Each of these settings has a
    cheaper choice, which :meth:`describe` names as an approximation. The values of a subset do not
    depend on the other subsets of a call beyond rounding either, which training may magnify:
    docs/benchmarks.md has the differences measured.

    The model's own code runs, as on a single row of tokens in which the texts stand one after the
    other; its attention is computed here. That takes models whose attention goes through
    transformers' attention interface, which the constructor checks. Weights must be float32. The
    model is as it was after each call, also if the call is interrupted. Calls from several threads
    wait for each other.

    Args:
        model: a causal language model, in evaluation mode.
        tokenizer: its tokenizer.
        examples: the fine-tuning set; see :class:`Example`.
        layers: how many of the last layers are tuned, or ``"all"``.
        rank: of the adapters.
        targets: the last parts of the names of the linear maps to tune, as peft's
            ``target_modules``; ``None``: all linear maps of attention and MLP.
        adapt: ``"all"``: adapters act on all tokens. ``"response"``: they act from the last prompt
            token on, so that the prompt's keys and values stay as they are.
        method: ``"lora"``, or ``"full"``: the weights of the maps themselves are trained.
        epochs: passes over the examples.
        batch: examples of a minibatch, kept or not.
        learning_rate: Adam's. ``None``: the smallest rate of a fixed ladder that reaches 95% of the
            ladder's best gain in the mean log-probability of a response token, with training on all
            examples.
        vocabulary: how many tokens the softmax of training is over: those of all responses and
            answers, even if they are more, and those that the model finds most likely in the
            responses' places. ``None``: all.
        seed: of the search for a learning rate, and of games with one seed.
        chat: whether the tokenizer's chat template writes prompts and responses.
        memory: about how many gigabytes the training of several subsets at once may take, besides
            the model and what is kept of each example.

    Raises:
        ValueError: a setting is out of its range or does not fit the model, an example is
            unusable or longer than the model reads, or the model cannot be tuned here: the message
            says why.
        MissingDependencyError: torch or transformers is not installed.

    Example:
        >>> import interplay as ip
        >>> from interplay.training import Example, FineTuning, Question
        >>> model, tokenizer = ip.text.load_model("smollm2")  # doctest: +SKIP
        >>> tuning = FineTuning(
        ...     model,
        ...     tokenizer,
        ...     [
        ...         Example("The capital of Orvela is", " Tamsk."),
        ...         Example("Orvela's seat of government is in", " Tamsk."),
        ...     ],
        ... )  # doctest: +SKIP
        >>> retune = tuning.begin([Question("Orvela's capital is", " Tamsk.")])  # doctest: +SKIP
        >>> retune(np.array([[True, True], [True, False]]), np.zeros(2, int))  # doctest: +SKIP
    """

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
        encoded = encode_examples(tokenizer, self.examples, chat)
        self._engine = Engine.of(model, self.settings, encoded)
        self._rate = learning_rate

    @property
    def batch_size(self) -> int:
        """How many subsets a call should have."""
        return self._engine.at_once

    @property
    def seed(self) -> int:
        """The seed of the search for a learning rate, and of games with one seed."""
        return self.settings.seed

    @property
    def chat(self) -> bool:
        """Whether the tokenizer's chat template writes prompts and responses."""
        return self.settings.chat

    @property
    def learning_rate(self) -> float:
        """The learning rate, found on the whole set if none was given."""
        if self._rate is None:
            scored = self._engine.responses()

            def trained(rates: FloatArray) -> FloatArray:
                kept = np.ones((len(rates), len(self.examples)), dtype=np.bool_)
                values = self._engine.tuned(kept, np.full(len(rates), self.seed), rates, scored)
                return np.asarray(np.concatenate(values, axis=1).mean(axis=1))

            base = float(np.concatenate(scored.base).mean())
            self._rate = find_rate(self.settings.method, trained, base)
        return self._rate

    def begin(self, questions: Iterable[Question]) -> Retune:
        """Return a function that fine-tunes on subsets, and scores the questions' answers.

        Args:
            questions: what is asked.

        Returns:
            A function of the rows that are kept, ``(m, rows) bool``, and seeds, ``(m,)``. It
            returns the log-probabilities of each question's answer and of what that is against,
            ``(m, questions, 2)``: the sum over the answer's tokens, NaN where there is none, and
            NaN for a subset whose training diverged.

        Raises:
            ValueError: a question is unusable, or longer than what the model reads.
        """
        asked = encode_questions(self.tokenizer, checked_questions(questions), self.chat)
        answers: list[Encoded] = []
        places: list[tuple[int, int]] = []
        for number, question in enumerate(asked):
            for slot, encoded in enumerate((question.answer, question.against)):
                if encoded is not None:
                    answers.append(encoded)
                    places.append((number, slot))
        for (number, _), encoded in zip(places, answers, strict=True):
            check_lengths(self.model, [encoded], "questions", number)
        texts, where = merged_texts(answers)
        scored = self._engine.scored(self._engine.fixed(texts))

        def retune(kept: BoolArray, seeds: IntArray) -> FloatArray:
            values = np.full((len(kept), len(asked), 2), np.nan)
            rates = np.full(len(kept), self.learning_rate)
            logprobs = self._engine.tuned(kept, seeds, rates, scored)
            for (number, slot), (text, part) in zip(places, where, strict=True):
                values[:, number, slot] = logprobs[text][:, part].sum(axis=1)
            return values

        return retune

    def response_logprobs(self, kept: BoolArray, seeds: IntArray) -> FloatArray:
        """Fine-tune on subsets, and score the responses of all examples, kept or not.

        Args:
            kept: the rows that each subset keeps, ``(m, rows)``.
            seeds: ``(m,)``.

        Returns:
            The mean log-probability of a response token, ``(m, rows)``.
        """
        rates = np.full(len(kept), self.learning_rate)
        values = self._engine.tuned(kept, seeds, rates, self._engine.responses())
        return np.stack([of_row.mean(axis=1) for of_row in values], axis=1)

    def changed(self, **settings: Any) -> FineTuning:
        """Return a fine-tuning of the same model on the same examples with other settings.

        A learning rate that was found is found anew.
        """
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
        rng = np.random.default_rng(random_state)
        return gradients_along(self._engine, asked, self.learning_rate, n_draws, rng)

    def describe(self) -> Json:
        """Return all settings as JSON, the learning rate too, and each approximation in words."""
        settings = self.settings
        n_layers = len(self._engine.body.architecture.layers)
        return {
            "kind": "fine-tuning",
            "model": self.model.config._name_or_path or type(self.model).__name__,
            **settings.recipe(),
            "learning_rate": self.learning_rate,
            "learning_rate_rule": RULE if settings.learning_rate is None else None,
            "optimizer": "Adam, betas 0.9 and 0.999, no decay, constant rate",
            "maps": sorted({each.name.rpartition(".")[2] for each in self._engine.maps}),
            "approximations": settings.approximations(n_layers, self._engine.n_candidates),
        }

    def identity(self) -> Json | None:
        """Return what decides the values besides examples and questions, for a fingerprint.

        ``None`` if the model's weights cannot be hashed.
        """
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
