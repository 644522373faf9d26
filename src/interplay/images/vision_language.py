"""Models of transformers that read an image and a text, as functions of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import FloatArray
from interplay.extensions import unknown
from interplay.images.classifiers import settings_of
from interplay.images.pictures import Pixels
from interplay.text.digests import document_digest, model_digest, tokenizer_digest
from interplay.text.models import check_usable, require_llm

if TYPE_CHECKING:
    import torch

SCORES = ("logprob", "prob")


@dataclass(frozen=True, eq=False)
class VisionLanguageModel:
    """How probable answers are after an image and a text. :func:`from_vision_language` makes one.

    Attributes:
        name: the class of the model.
        outputs: the answers.
        fingerprint: identifies the weights, the processor, the answers and the score; ``None`` if
            the model has hooks, which cannot be hashed.
        score: ``"logprob"`` or ``"prob"``.
    """

    name: str
    outputs: tuple[str, ...]
    fingerprint: str | None
    score: str
    _model: Any
    _processor: Any
    _answers: tuple[tuple[int, ...], ...]

    def __call__(self, images: Pixels, texts: Sequence[str]) -> FloatArray:
        """The scores of the answers, ``(b, k)``, after images ``(b, h, w, 3)`` and texts.

        Rows of one length are one pass, so that nothing is padded.
        """
        rows = [
            self._processor(images=[image], text=[text], return_tensors="pt")
            for image, text in zip(images, texts, strict=True)
        ]
        by_length = defaultdict(list)
        for number, row in enumerate(rows):
            by_length[tuple((name, tuple(row[name].shape)) for name in row)].append(number)
        scores = np.empty((len(rows), len(self.outputs)))
        for numbers in by_length.values():
            together = [rows[number] for number in numbers]
            for column, answer in enumerate(self._answers):
                scores[numbers, column] = self._logprobs(together, answer)
        return np.exp(scores) if self.score == "prob" else scores

    def _logprobs(self, rows: Sequence[Any], answer: tuple[int, ...]) -> FloatArray:
        """The log-probability of an answer after each of some rows of one length, ``(b,)``."""
        import torch

        length = rows[0]["input_ids"].shape[1]
        inputs = {}
        for name in rows[0]:
            stacked = torch.cat([row[name] for row in rows])
            if stacked.ndim == 2 and stacked.shape[1] == length:  # something of each token
                stacked = torch.cat([stacked, self._more(name, answer, stacked)], dim=1)
            if stacked.is_floating_point():
                stacked = stacked.to(self._model.dtype)
            inputs[name] = stacked.to(self._model.device)
        with torch.inference_mode():
            logits = self._model(**inputs).logits[:, -len(answer) - 1 : -1]
        chosen = torch.tensor(answer, device=logits.device).expand(len(rows), -1)
        logprobs = logits.double().log_softmax(dim=-1).gather(2, chosen[..., None])
        return np.asarray(logprobs.sum(dim=(1, 2)).cpu().numpy())

    @staticmethod
    def _more(name: str, answer: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """What the answer's tokens add to an input that has something of each token."""
        added = like.new_zeros((len(like), len(answer)))
        if name == "input_ids":
            return added + added.new_tensor(answer)
        return added + 1 if name == "attention_mask" else added


def from_vision_language(
    model: Any, processor: Any, answers: str | Sequence[str], *, score: str = "logprob"
) -> VisionLanguageModel:
    """How probable answers are to a model that reads an image and a text.

    The answer's tokens follow the prompt's; both are tokenized by themselves. The prompt has the
    processor's mark of the image in it, as its chat template writes it.

    Args:
        model: a causal model such as ``AutoModelForImageTextToText.from_pretrained(...)``, in
            evaluation mode.
        processor: such as ``AutoProcessor.from_pretrained(...)``.
        answers: an answer, such as ``" cat"``, or several, each an output.
        score: ``"logprob"``, the sum over the answer's tokens, or ``"prob"``.

    Raises:
        ValueError: an unknown score, an answer without tokens, or a model in training mode.
        MissingDependencyError: torch or transformers are not installed.
    """
    require_llm("a model of images and text")
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    check_usable(model)
    listed = (answers,) if isinstance(answers, str) else tuple(answers)
    tokenizer = processor.tokenizer
    ids = [tuple(tokenizer(answer, add_special_tokens=False)["input_ids"]) for answer in listed]
    if not ids or not all(ids):
        raise ValueError(f"answers={answers!r} has an answer without tokens; give some words")
    weights = model_digest(model)
    identity = {
        "weights": weights,
        "processor": settings_of(processor),
        "image_processor": settings_of(processor.image_processor),
        "tokenizer": tokenizer_digest(tokenizer),
        "answers": ids,
        "score": score,
    }
    fingerprint = None if weights is None else document_digest(identity)
    name = type(model).__name__
    return VisionLanguageModel(name, listed, fingerprint, score, model, processor, tuple(ids))
