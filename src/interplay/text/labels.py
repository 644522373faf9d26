"""Targets of classifiers: the score of one class, or of every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from interplay.text.inference.encoders import WholeReader, WholeReadout

if TYPE_CHECKING:
    import torch

ClassScore: TypeAlias = Literal["logit", "prob", "logprob", "margin"]
"""``"logit"``: the class's logit; ``"prob"``: its probability, by softmax, or by sigmoid for a
model of one class or of classes that do not exclude each other (``problem_type`` is
``"multi_label_classification"``); ``"logprob"``: the logarithm of that; ``"margin"``: its logit
minus the largest other one. A regression head (``problem_type`` is ``"regression"``) has logits
only."""


@dataclass(frozen=True)
class Label:
    """The score of one class of a text classifier.

    Attributes:
        name: the class, as ``model.config.id2label`` names it, or its number.
        score: see :data:`ClassScore`.
    """

    name: str | int
    score: ClassScore = "logit"

    def prepare(self, reader: WholeReader, whole: Sequence[int]) -> WholeReadout:
        """See :meth:`interplay.text.inference.encoders.WholeTarget.prepare`."""
        labels = _labels(reader, whole, self)
        listed = ", ".join(f"{number} {label!r}" for number, label in enumerate(labels))
        if isinstance(self.name, int):
            number = self.name
            if not 0 <= number < len(labels):
                raise ValueError(f"label {number} is none of the model's: {listed}")
        else:
            if labels.count(self.name) != 1:
                how = "is none of the model's" if self.name not in labels else "names several"
                raise ValueError(f"the label {self.name!r} {how}: {listed}; give a name or number")
            number = labels.index(self.name)
        read = _reading(reader, self.score)
        return WholeReadout(lambda output, attention: read(output, attention)[:, [number]])

    def __str__(self) -> str:
        return f"{self.score} of label {self.name!r}"


@dataclass(frozen=True)
class Labels:
    """The scores of all classes of a text classifier, an output each, named as the classes are.

    Attributes:
        score: see :data:`ClassScore`.
    """

    score: ClassScore = "logit"

    def prepare(self, reader: WholeReader, whole: Sequence[int]) -> WholeReadout:
        """See :meth:`interplay.text.inference.encoders.WholeTarget.prepare`."""
        labels = _labels(reader, whole, self)
        return WholeReadout(_reading(reader, self.score), labels)

    def __str__(self) -> str:
        return f"{self.score} of each label"


def _labels(reader: WholeReader, whole: Sequence[int], target: Label | Labels) -> tuple[str, ...]:
    """The classes' names; refuses models without classes, and scores that they cannot have."""
    model, config = reader.model, reader.model.config
    logits = getattr(reader.output(whole), "logits", None)
    if logits is None or logits.shape != (1, config.num_labels):
        raise ValueError(
            f"{type(model).__name__} is no text classifier, so {target} has no class to score; "
            "load one with load_model(..., task='classification')"
        )
    if target.score not in get_args(ClassScore):
        raise ValueError(
            f"score={target.score!r} is unknown; choose one of {', '.join(get_args(ClassScore))}"
        )
    if config.problem_type == "regression" and target.score != "logit":
        raise ValueError(
            f"score={target.score!r} needs classes, but the model is a regression; use "
            "score='logit', which is the number it predicts"
        )
    if config.num_labels == 1 and target.score == "margin":
        raise ValueError(
            "score='margin' needs another class, but the model has one; use score='logit'"
        )
    return tuple(str(config.id2label[number]) for number in range(config.num_labels))


def _reading(reader: WholeReader, score: ClassScore) -> Any:
    """From the model's output to the scores of all classes, ``(b, classes)``."""
    config = reader.model.config
    independent = config.num_labels == 1 or config.problem_type == "multi_label_classification"

    def read(output: Any, attention: torch.Tensor) -> torch.Tensor:
        import torch

        logits: torch.Tensor = output.logits.double()
        if score == "prob":
            return logits.sigmoid() if independent else logits.softmax(dim=-1)
        if score == "logprob":
            if independent:
                return torch.nn.functional.logsigmoid(logits)
            return logits.log_softmax(dim=-1)
        if score == "margin":
            best = logits.topk(2, dim=-1)
            first = torch.arange(logits.shape[1], device=logits.device) == best.indices[:, [0]]
            return logits - torch.where(first, best.values[:, [1]], best.values[:, [0]])
        return logits

    return read
