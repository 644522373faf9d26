"""FineTuningGame: examples of a fine-tuning set as players, the tuned model's answers as values."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from interplay._types import BoolArray, FloatArray, IntArray, Json, whole
from interplay.fourier.interactions import names_of
from interplay.fourier.masks import as_masks, end_masks
from interplay.text.digests import document_digest
from interplay.training.finetuning.checks import TuningChecks, agreement, random_subsets
from interplay.training.finetuning.examples import Question, checked_questions, grouped
from interplay.training.finetuning.rendering import encode_examples, encode_questions

if TYPE_CHECKING:
    from interplay.training.finetuning.tuner import FineTuning, Retune

ScoreName: TypeAlias = Literal["auto", "margin", "logprob", "prob"]
_WORDS: dict[str, str] = {
    "margin": "log p(answer) - log p(against)",
    "logprob": "log p(answer)",
    "prob": "p(answer)",
    "auto": "log p(answer) - log p(against), or log p(answer) where nothing is against it",
}
_CODE_VERSION = 1
"""Part of the fingerprint: increased when a change of the code changes values."""
_MOST_ROWS = 1000
"""About the most rows whose texts a description holds; of each player it holds one or more."""
_MOST_CHARACTERS = 400
"""Of a text in a description."""
_MOST_SEED = 2**62


class FineTuningGame:
    """How a language model's answers depend on the examples that it was fine-tuned on.

    To evaluate a mask is to fine-tune the model on the examples of the players that the mask keeps,
    and to ask it each question. The value of no examples is the base model's.

    Args:
        tuning: the model, the examples, and how it is fine-tuned.
        questions: what the tuned model is asked, one or more; each is an output, and all come from
            one training.
        players: how examples are grouped: ``None``, by their ``player``, each of those without one
            by itself; ``"tag"``; or an id for each, such as :func:`~interplay.training.clusters`
            and :func:`~interplay.training.near_duplicates` return.
        score: ``"logprob"``: log p(answer | prompt), the sum over the answer's tokens;
            ``"margin"``: log p(answer) - log p(against); ``"auto"``: for each question ``"margin"``
            where it has an ``against``, else ``"logprob"``; ``"prob"``: the answer's probability,
            which is next to constant wherever the answer is learned or not learned at all, so that
            interactions come and go with it. Prefer the others.
        n_repeats: how many seeds each subset is trained with. Their scores are averaged, and the
            noise's share of the variance is reported, which bounds what any explanation can reach.
            With 1, all subsets are trained with the tuning's own seed: the same initial adapters
            and the same order of examples.

    Raises:
        ValueError: the score is unknown, or needs an ``against`` that a question lacks; a question
            or its tokens cannot be used; there is only one player; or ``n_repeats`` is below 1.

    Example::

        model, tokenizer = interplay.text.load_model("smollm2")
        tuning = FineTuning(model, tokenizer, read_examples("train.jsonl"), layers=2)
        game = FineTuningGame(tuning, Question("The capital of Zubrovka is", " Lutz"))
        print(game.check())  # did it learn, and does another seed agree
        explanation = interplay.explain(game, budget=300, store="runs.db")
        print(relations(explanation))
    """

    measure = "uniform"
    """That of its explanations, where none is asked for: subsets of about half of the examples."""

    def __init__(
        self,
        tuning: FineTuning,
        questions: Question | Iterable[Question],
        players: str | Sequence[Any] | npt.NDArray[Any] | None = None,
        *,
        score: ScoreName | str = "auto",
        n_repeats: int = 1,
    ) -> None:
        self.tuning = tuning
        self.questions = checked_questions(questions)
        self.score = _checked(score, self.questions)
        self.n_repeats = whole("n_repeats", n_repeats, 1)
        self.grouping = grouped(tuning.examples, players)
        self._players = names_of(self.grouping.players, len(self.grouping.players))
        self._asked = encode_questions(tuning.tokenizer, self.questions, tuning.chat)
        self._rows = encode_examples(tuning.tokenizer, tuning.examples, tuning.chat)
        self._checks: TuningChecks | None = None
        _ = self._retune  # says what is wrong with the questions now

    @cached_property
    def _retune(self) -> Retune:
        return self.tuning.begin(self.questions)

    def __getstate__(self) -> dict[str, Any]:
        """All but what each process computes for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_retune"}

    @property
    def model(self) -> Any:
        """The base model; a back end reads off where it is."""
        return self.tuning.model

    @property
    def n_players(self) -> int:
        """The number of players."""
        return len(self._players)

    @property
    def players(self) -> tuple[str, ...]:
        """The players' names."""
        return self._players

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """Fine-tune and ask: ``(m, k)`` for k questions, ``(m,)`` for one.

        The scores of a model whose training diverged are NaN.
        """
        masks = as_masks(masks, self.n_players)
        if not len(masks):
            return np.empty((0, len(self.questions)))
        own = np.full(len(masks), self.tuning.seed, dtype=np.int64)
        if seeds:
            own = (own + seeds[0]) % _MOST_SEED
        values = self.scores(self._retune(self.grouping.rows(masks), own))
        return np.asarray(values if values.shape[1] > 1 else values[:, 0])

    def scores(self, logprobs: FloatArray) -> FloatArray:
        """Scores ``(m, k)`` of log-probabilities of answers and of ``against``, ``(m, k, 2)``."""
        answers, others = logprobs[..., 0], logprobs[..., 1]
        if self.score == "prob":
            return np.exp(answers)
        if self.score == "logprob":
            return answers
        has_other = np.array([question.against is not None for question in self.questions])
        return np.where(has_other, answers - np.where(has_other, others, 0.0), answers)

    # --- what a run asks the game, and what identifies it -----------------------------------------

    @property
    def batch_size(self) -> int:
        """How many masks a call should have; each of them is trained ``n_repeats`` times."""
        return max(1, self.tuning.batch_size // self.n_repeats)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Return the masks' order of evaluation, ``(m,)``: any will do here."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """Count the tokens of the kept examples, in all epochs and repeats: ``(m,)``."""
        lengths = np.array([len(row.tokens) for row in self._rows], dtype=np.float64)
        rows = self.grouping.rows(masks)
        return np.asarray(self.n_repeats * self.tuning.settings.epochs * (rows @ lengths))

    def describe(self) -> Json:
        """Describe the recipe, the questions, the players and their examples as JSON.

        Long texts are cut, and of large players not all examples are there.
        """
        names = [str(question) for question in self.questions]
        trainer = self.tuning.describe()
        model = Path(str(trainer.pop("model")))
        return {
            "lens": "training",
            "model": model.name if model.is_absolute() else str(model),
            "view": {
                "kind": "examples",
                "title": "The fine-tuning examples",
                "mean_first": True,
                "table": "relations",
            },
            "trainer": trainer,
            "score": self.score,
            "scores": [_WORDS[self.score]],
            "questions": [
                {
                    "prompt": _cut(question.prompt),
                    "answer": _cut(question.answer),
                    "against": None if question.against is None else _cut(question.against),
                }
                for question in self.questions
            ],
            "test_points": names,
            "outputs": names if len(names) > 1 else [],
            "tags": self.tags,
            "cards": self._cards(),
        }

    @property
    def tags(self) -> list[str | None]:
        """The tag of each player: that of its examples, or ``None`` where they differ."""
        of_player: list[set[str | None]] = [set() for _ in self._players]
        for row, owner in zip(self.tuning.examples, self.grouping.owners.tolist(), strict=True):
            of_player[owner].add(row.tag)
        return [next(iter(tags)) if len(tags) == 1 else None for tags in of_player]

    def _cards(self) -> list[Json]:
        """For each player how many rows it has, and the texts of the first of them."""
        most = max(1, _MOST_ROWS // self.n_players)
        cards: list[Json] = [{"n_rows": 0, "rows": []} for _ in self._players]
        for row, owner in zip(self.tuning.examples, self.grouping.owners.tolist(), strict=True):
            card = cards[owner]
            card["n_rows"] += 1
            if len(card["rows"]) < most:
                texts = {"prompt": _cut(row.prompt), "response": _cut(row.response)}
                card["rows"].append(texts | {"tag": row.tag})
        return cards

    @property
    def fingerprint(self) -> str | None:
        """A hash of the weights, the tokenizer, the examples, their players, and the recipe.

        And of the questions and the score. ``None`` if the model cannot be hashed.
        """
        identity = self.tuning.identity()
        if identity is None:
            return None
        return document_digest(
            {
                "code": _CODE_VERSION,
                "tuning": identity,
                "examples": [[row.tokens, row.n_prompt] for row in self._rows],
                "owners": self.grouping.owners.tolist(),
                "questions": [
                    [
                        None if answer is None else [answer.tokens, answer.n_prompt]
                        for answer in (question.answer, question.against)
                    ]
                    for question in self._asked
                ],
                "score": self.score,
            }
        )

    # --- checks -----------------------------------------------------------------------------------

    def check(
        self, n_subsets: int = 12, n_full_depth: int = 0, random_state: int = 0
    ) -> TuningChecks:
        """Check whether the model learns, and how far another seed and full depth agree.

        The result is kept, with what earlier calls checked, and a run's explanation records it. A
        run of a game that was not checked checks only whether the model learns. It warns if the
        model does not.

        Args:
            n_subsets: random subsets that are trained with two seeds each; 0: none.
            n_full_depth: random subsets that are also trained without what the tuning leaves out:
                in all layers, adapters on all tokens, and all of the vocabulary. Each takes as long
                as an ordinary fine-tuning of the model. 0: none.
            random_state: seed of the subsets.

        Raises:
            ValueError: a number of subsets is neither 0 nor 5 or more.
        """
        by_seed = by_depth = None
        if n_subsets:
            masks = random_subsets(n_subsets, self.n_players, random_state)
            values = self._values(masks, 0), self._values(masks, 1)
            by_seed = agreement(*values)
        if n_full_depth:
            masks = random_subsets(n_full_depth, self.n_players, random_state)
            full = self.tuning.changed(
                layers="all", adapt="all", vocabulary=None, learning_rate=None
            )
            other = FineTuningGame(full, self.questions, self.grouping.owners, score=self.score)
            by_depth = agreement(self._values(masks, 0), other._values(masks, 0))
        known = self._checks or self._learned
        self._checks = replace(known, seed=by_seed or known.seed, depth=by_depth or known.depth)
        return self._checks

    def observed(self) -> Json:
        """What a run records beside its values: the checks."""
        return (self._checks or self._learned).to_json()

    def _values(self, masks: BoolArray, seed: int) -> FloatArray:
        """Scores of single trainings, ``(m, k)``, in calls of the tuning's size."""
        size = self.tuning.batch_size
        rows, seeds = self.grouping.rows(masks), np.full(len(masks), self.tuning.seed + seed)
        return np.concatenate(
            [
                self.scores(self._retune(rows[at : at + size], seeds[at : at + size]))
                for at in range(0, len(masks), size)
            ]
        )

    @cached_property
    def _learned(self) -> TuningChecks:
        """The base model and the one that was tuned on everything, side by side."""
        ends = end_masks(self.n_players)[::-1]
        base, tuned = self._values(ends, 0).tolist()
        rows, seeds = self.grouping.rows(ends), np.full(2, self.tuning.seed)
        before, after = self.tuning.response_logprobs(rows, seeds).mean(axis=1).tolist()
        names = tuple(map(str, self.questions))
        checks = TuningChecks(
            names,
            tuple(base),
            tuple(tuned),
            (before, after),
            self.score,
            tuple(self.tuning.describe()["approximations"]),
        )
        if not checks.learned:
            warnings.warn(
                f"fine-tuning on all examples leaves their responses at a mean log-probability of "
                f"{after:.3f} a token, where the base model has {before:.3f}: it did not learn, so "
                f"there is little to explain; give {checks.advice}",
                UserWarning,
                stacklevel=4,
            )
        return checks

    def __repr__(self) -> str:
        return (
            f"FineTuningGame({type(self.model).__name__}, {self.n_players} players, "
            f"{len(self._rows)} examples, {len(self.questions)} questions, {self.score})"
        )


def _checked(score: str, questions: Sequence[Question]) -> ScoreName:
    """The score by its name; ``"auto"`` where questions differ in having an ``against``."""
    if score not in get_args(ScoreName):
        raise ValueError(
            f"score={score!r} is unknown; choose one of {', '.join(get_args(ScoreName))}"
        )
    lacking = [n for n, question in enumerate(questions) if question.against is None]
    if score == "margin" and lacking:
        raise ValueError(
            f"score='margin' compares two answers, but questions[{lacking[0]}] has no `against`; "
            "give it one, or use score='auto'"
        )
    if score == "auto" and len(lacking) in (0, len(questions)):
        return "logprob" if lacking else "margin"
    if score == "prob":
        warnings.warn(
            "score='prob': a probability is next to constant wherever the answer is learned or not "
            "learned at all, so that its interactions say more of the scale than of the examples; "
            "'logprob' and 'margin' do not have this",
            UserWarning,
            stacklevel=3,
        )
    return score  # type: ignore[return-value]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
