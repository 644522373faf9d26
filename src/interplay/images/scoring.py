"""Which of a model's outputs are explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from interplay._arrays import real_numbers
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.extensions import unknown
from interplay.text.digests import document_digest

Target: TypeAlias = str | int | Sequence[str | int] | None
"""An output by its name or number, several of them, or ``None`` for the strongest."""


class Scoring:
    """Asks a model and picks the outputs that are explained.

    Args:
        model: a function, which may have attributes ``outputs``, ``fingerprint`` and ``name``.
        whole: the model's input with nothing removed: what the function is called with, for a
            batch of one.
        outputs: the names of the model's outputs; by default its own, or their numbers.
        target: which of them are explained.
        against: an output that is subtracted from each of these.
        fingerprint: identifies the model; by default its own.

    Raises:
        ValueError: what is no function, other numbers of names and outputs, or an unknown output.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        whole: Sequence[Any],
        *,
        outputs: Sequence[str] | None,
        target: Target,
        against: str | int | None,
        fingerprint: str | None,
    ) -> None:
        if not callable(model):
            raise ValueError(
                f"the model is a {type(model).__name__}, which cannot be called; give a function "
                "of a batch of images, such as interplay.images.from_transformers makes"
            )
        self._model = model
        self.identity = fingerprint or getattr(model, "fingerprint", None)
        self.model_name = str(
            getattr(model, "name", None) or getattr(model, "__name__", type(model).__name__)
        )
        scores = self._asked(whole)
        names = getattr(model, "outputs", None) if outputs is None else outputs
        if names is None:
            single = scores.shape[1] == 1
            names = ("score",) if single else tuple(map(str, range(scores.shape[1])))
        if isinstance(names, str) or len(names) != scores.shape[1]:
            raise ValueError(
                f"{len(names)} names of outputs for a model that gives {scores.shape[1]}; give as "
                "many names"
            )
        self._names = tuple(map(str, names))
        wanted = int(np.argmax(scores[0])) if target is None else target
        chosen = (wanted,) if isinstance(wanted, str | int | np.integer) else wanted
        self.chosen = [_number_of(output, self._names) for output in chosen]
        if not self.chosen:
            raise ValueError("target=() has no output; name one or more, or leave it out")
        self.against = None if against is None else _number_of(against, self._names)
        minus = "" if self.against is None else f" - {self._names[self.against]}"
        self.outputs = tuple(f"{self._names[number]}{minus}" for number in self.chosen)

    def _asked(self, inputs: Sequence[Any]) -> FloatArray:
        """All of the model's scores for a batch, ``(b, k)``."""
        count = len(inputs[0])
        what = f"the scores of {self.model_name}"
        scores = real_numbers(self._model(*inputs), what)
        if scores.ndim not in (1, 2) or len(scores) != count or not scores.size:
            raise ValueError(
                f"{what} for {count} images have the shape {scores.shape}; ({count},) or "
                f"({count}, k) is expected"
            )
        return scores.reshape(count, -1)

    def __call__(self, *inputs: Any) -> FloatArray:
        """The scores that are explained for a batch, ``(b, k)``."""
        scores = self._asked(inputs)
        picked = scores[:, self.chosen]
        return picked if self.against is None else picked - scores[:, [self.against]]

    def values(
        self,
        masks: BoolArray,
        seeds: Sequence[IntArray],
        batch_size: int,
        score: Callable[[BoolArray, IntArray | None], FloatArray],
    ) -> FloatArray:
        """Scores as a game returns them, ``(m, k)``, or ``(m,)`` of one output.

        Args:
            masks: ``(m, n)``.
            seeds: empty, or one array, of each mask its seed.
            batch_size: how many masks are scored at a time.
            score: the scores ``(b, k)`` of a batch, from its masks and its seeds, if there are any.
        """
        columns = np.empty((len(masks), len(self.outputs)))
        for start in range(0, len(masks), batch_size):
            part = slice(start, start + batch_size)
            columns[part] = score(masks[part], seeds[0][part] if seeds else None)
        return columns if columns.shape[1] > 1 else columns[:, 0]

    def fingerprint(self, of_input: Json) -> str | None:
        """A hash of the model, of what is explained of it, and of its input.

        ``None`` if nothing identifies the model.

        Args:
            of_input: what identifies the input, as JSON.
        """
        if self.identity is None:
            return None
        scored = {"model": self.identity, "target": self.chosen, "against": self.against}
        return document_digest(scored | of_input)

    def describe(self) -> Json:
        """The model and its outputs, as JSON; the difference of two outputs is a margin."""
        score = getattr(self._model, "score", None) if self.against is None else "margin"
        against = None if self.against is None else self._names[self.against]
        return {
            "model": self.model_name,
            "outputs": list(self.outputs) if len(self.outputs) > 1 else [],
            "targets": [
                {"kind": "Output", "name": self._names[number], "against": against, "score": score}
                for number in self.chosen
            ],
        }


def _number_of(output: str | int, names: Sequence[str]) -> int:
    """The number of an output, by its name or number.

    Raises:
        ValueError: there is none, or several have the name.
    """
    if isinstance(output, int | np.integer) and not isinstance(output, bool):
        if not 0 <= output < len(names):
            raise ValueError(f"the output {output} is not one of 0 to {len(names) - 1}")
        return int(output)
    if list(names).count(str(output)) != 1:
        if str(output) in names:
            raise ValueError(f"several outputs are called {output!r}; give the number of one")
        raise unknown("target", str(output), names if len(names) <= 20 else [*names[:20], "..."])
    return list(names).index(str(output))
