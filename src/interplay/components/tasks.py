"""Tasks: the items and scores that judge a model with some of its parts removed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from interplay._types import Json

if TYPE_CHECKING:
    import torch

ScoreName: TypeAlias = Literal["margin", "correct", "logprob", "logprob_per_token", "prob"]
SCORES: tuple[ScoreName, ...] = ("margin", "correct", "logprob", "logprob_per_token", "prob")
_CHOOSING = ("margin", "correct")


@dataclass(frozen=True)
class Item:
    """A question with its answer.

    Attributes:
        prompt: what the model reads: a text, or the messages of a chat, each
            ``{"role": ..., "content": ...}``. For a masked language model it holds one mask token,
            where the answer goes.
        answer: the right answer, with a leading space unless the prompt ends in one; for a
            classifier the name of a class.
        wrong: the wrong answers to choose from, if any.
    """

    prompt: str | tuple[Mapping[str, str], ...]
    answer: str
    wrong: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong: Any = self.wrong  # whatever the user gave: tuple() would cut a text into letters
        object.__setattr__(self, "wrong", (wrong,) if isinstance(wrong, str) else tuple(wrong))
        if not isinstance(self.prompt, str):
            object.__setattr__(self, "prompt", tuple(self.prompt))

    def describe(self) -> Json:
        """The question and its answers as JSON; of a chat the last message, with its role."""
        chat = () if isinstance(self.prompt, str) else self.prompt
        return {
            "prompt": chat[-1]["content"] if chat else self.prompt,
            "role": chat[-1]["role"] if chat else None,
            "answer": self.answer,
            "wrong": list(self.wrong),
        }


@dataclass(frozen=True)
class LogitScore:
    """A user-defined score.

    Attributes:
        function: takes the logits at the position of the answer, ``(b, vocabulary)`` (for a
            classifier ``(b, classes)``) float64, and the item; returns ``(b,)`` numbers.
        name: identifies what it computes, for the fingerprint and as the output's name. Without a
            name the values last for the run only and are never written to a store.
    """

    function: Callable[[torch.Tensor, Item], torch.Tensor]
    name: str | None = None

    def __str__(self) -> str:
        return self.name or "a function of the logits"


Score: TypeAlias = ScoreName | LogitScore


@dataclass(frozen=True)
class Task:
    """Items and their scores. A game's value is the mean of a score over the items.

    Attributes:
        items: one or more.
        scores: one or more, each an output of the same pass. ``"margin"``: the answer's
            log-probability minus the likeliest wrong one's (for single tokens, the difference of
            their logits). ``"correct"``: 1 if the margin is above 0, else 0; its mean is the
            accuracy. ``"logprob"`` and ``"prob"``: of the answer. ``"logprob_per_token"``: the mean
            over the answer's tokens. Or a :class:`LogitScore`.
        name: what reports call it, such as ``"agreement of verbs"``; values do not depend on it.

    Raises:
        ValueError: there are no items, an item has no prompt or no answer, a score is unknown, or a
            score compares answers but an item has no wrong ones.
    """

    items: tuple[Item, ...]
    scores: tuple[Score, ...] = ("margin",)
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        is_single = isinstance(self.scores, str | LogitScore)
        object.__setattr__(self, "scores", (self.scores,) if is_single else tuple(self.scores))
        if not self.items:
            raise ValueError("the task has no items; give at least one")
        if not self.scores:
            raise ValueError(f"the task has no score; give one of {', '.join(SCORES)}")
        for score in self.scores:
            if not isinstance(score, LogitScore) and score not in SCORES:
                raise ValueError(
                    f"score={score!r} is unknown; choose one of {', '.join(SCORES)}, or give a "
                    "LogitScore"
                )
        names = [str(score) for score in self.scores]
        if len(set(names)) < len(names):
            raise ValueError(f"two of the scores {', '.join(names)} have one name; rename one")
        for number, item in enumerate(self.items):
            _check(number, item, self.scores)

    @classmethod
    def from_file(cls, path: str | Path, scores: Score | Iterable[Score] = ("margin",)) -> Task:
        """Read items from JSON lines, each ``{"prompt": ..., "answer": ..., "wrong": [...]}``.

        The task has the name of the file, without its ending.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a line is not such an item, or the file has none.
        """
        items = []
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), 1):
            if line.strip():
                items.append(_item(line, f"{path}, line {number}"))
        if not items:
            raise ValueError(f"{path} holds no items; give one a line, as JSON")
        chosen = (scores,) if isinstance(scores, str | LogitScore) else tuple(scores)
        # a run's folder has copies of its files, with the name of the option before their own
        return cls(tuple(items), chosen, re.sub(r"^(task-)+", "", Path(path).stem))

    def split(self, test: float = 0.5, random_state: int = 0) -> tuple[Task, Task]:
        """Split the task at random in two: one to explain and prune by, one to judge by.

        Args:
            test: the share of items in the second task, in (0, 1).
            random_state: seed of the draw.

        Raises:
            ValueError: the share is outside (0, 1), there are fewer than two items, or two items
                have equal prompts.
        """
        if not 0.0 < test < 1.0:
            raise ValueError(f"test={test} is not a share between 0 and 1")
        prompts = [str(item.prompt) for item in self.items]
        if len(set(prompts)) < len(prompts):
            twice = next(prompt for prompt in prompts if prompts.count(prompt) > 1)
            raise ValueError(
                f"two items have the prompt {twice[:60]!r}, which could end up on both sides of "
                "the split; leave one of them out"
            )
        count = len(self.items)
        if count < 2:
            raise ValueError(f"{count} item cannot be split in two; give more items")
        order = np.random.default_rng(random_state).permutation(count)
        n_test = min(count - 1, max(1, round(test * count)))
        first, second = (
            Task(tuple(self.items[n] for n in sorted(rows)), self.scores, self.name)
            for rows in (order[n_test:], order[:n_test])
        )
        return first, second


def _check(number: int, item: Item, scores: tuple[Score, ...]) -> None:
    if not item.prompt or not item.answer:
        raise ValueError(f"item {number} has an empty {'answer' if item.prompt else 'prompt'}")
    if len({item.answer, *item.wrong}) != 1 + len(item.wrong):
        raise ValueError(
            f"the answers of item {number}, {(item.answer, *item.wrong)}, are not all different"
        )
    choosing = [score for score in scores if score in _CHOOSING]
    if choosing and not item.wrong:
        raise ValueError(
            f"score={choosing[0]!r} compares the answer with wrong ones, but item {number} "
            f"({str(item.prompt)[:40]!r}) has none; give some, or use score='logprob'"
        )


def _item(line: str, where: str) -> Item:
    try:
        entry: Any = json.loads(line)
        prompt, answer, wrong = entry["prompt"], entry["answer"], entry.get("wrong", [])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f'{where} is not {{"prompt": ..., "answer": ..., "wrong": [...]}}: {error!r}'
        ) from error
    wrong = [wrong] if isinstance(wrong, str) else wrong
    texts = [answer, *wrong] if isinstance(wrong, list) else [None]
    if not all(isinstance(text, str) for text in texts) or not isinstance(prompt, str | list):
        raise ValueError(f"{where}: the prompt, the answer and the wrong ones must be texts")
    if isinstance(prompt, str):
        return Item(prompt, answer, tuple(wrong))
    if not all(
        isinstance(message, dict) and {"role", "content"} <= message.keys() for message in prompt
    ):
        raise ValueError(
            f'{where}: the messages of a chat must be {{"role": ..., "content": ...}} each'
        )
    return Item(tuple(prompt), answer, tuple(wrong))
