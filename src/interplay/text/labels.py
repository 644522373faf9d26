"""Targets of text classifiers: the score of one class, or of every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from interplay.extensions import check_known
from interplay.text.inference.encoders import EncoderReader, EncoderReadout

if TYPE_CHECKING:
    import torch

ClassScore: TypeAlias = Literal["logit", "prob", "logprob", "margin"]
"""``"logit"``: the class's logit; ``"prob"``: its probability; ``"logprob"``: the logarithm of its
probability; ``"margin"``: its logit minus the largest logit of another class.

Probabilities are by softmax. They are by sigmoid if the model has one class, or classes that do not
exclude each other (``problem_type`` is ``"multi_label_classification"``). A regression head
(``problem_type`` is ``"regression"``) has logits only."""


@dataclass(frozen=True)
class Label:
    """The score of one class of a text classifier.

    Attributes:
        name: the name of the class in ``model.config.id2label``, or its number.
        score: see :data:`ClassScore`.
    """

    name: str | int
    score: ClassScore = "logit"

    def __post_init__(self) -> None:
        check_known("score", self.score, get_args(ClassScore))

    def prepare(self, reader: EncoderReader, prompt: Sequence[int]) -> EncoderReadout:
        """See :meth:`interplay.text.inference.encoders.EncoderTarget.prepare`."""
        labels = _labels(reader, prompt, self)
        listed = ", ".join(f"{number} {label!r}" for number, label in enumerate(labels))
        if isinstance(self.name, int):
            number = self.name
            if not 0 <= number < len(labels):
                raise ValueError(f"label {number} is none of the model's: {listed}")
        else:
            if labels.count(self.name) != 1:
                problem = "is none of the model's" if self.name not in labels else "names several"
                raise ValueError(
                    f"the label {self.name!r} {problem}: {listed}; give a name or number"
                )
            number = labels.index(self.name)
        read = _scores(reader, self.score)
        return EncoderReadout(lambda output, attention: read(output, attention)[:, [number]])

    def __str__(self) -> str:
        return f"{self.score} of label {self.name!r}"


@dataclass(frozen=True)
class Labels:
    """The scores of all classes of a text classifier: an output for each, named after the class.

    Attributes:
        score: see :data:`ClassScore`.
    """

    score: ClassScore = "logit"

    def __post_init__(self) -> None:
        check_known("score", self.score, get_args(ClassScore))

    def prepare(self, reader: EncoderReader, prompt: Sequence[int]) -> EncoderReadout:
        """See :meth:`interplay.text.inference.encoders.EncoderTarget.prepare`."""
        labels = _labels(reader, prompt, self)
        return EncoderReadout(_scores(reader, self.score), labels)

    def __str__(self) -> str:
        return f"{self.score} of each label"


def _labels(
    reader: EncoderReader, prompt: Sequence[int], target: Label | Labels
) -> tuple[str, ...]:
    """The names of a model's classes.

    Raises:
        ValueError: the model has no classes, or does not have the target's score.
    """
    model, config = reader.model, reader.model.config
    logits = getattr(reader.output(prompt), "logits", None)
    if logits is None or logits.shape != (1, config.num_labels):
        raise ValueError(
            f"{type(model).__name__} is no text classifier, so {target} has no class to score; "
            "load one with load_model(..., task='classification')"
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


def _scores(reader: EncoderReader, score: ClassScore) -> Any:
    """Make a function from the model's output to the scores of all classes, ``(b, classes)``."""
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
