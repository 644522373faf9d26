"""Image classifiers of torch, transformers and ONNX, as functions of a batch of images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from interplay._types import FloatArray, Json
from interplay.extensions import unknown
from interplay.images.pictures import Pixels, require_pillow
from interplay.tabular.files import onnx_session
from interplay.text.digests import document_digest, model_digest, state_digest
from interplay.text.models import check_usable, require_llm

if TYPE_CHECKING:
    import torch

ClassScore: TypeAlias = Literal["logit", "prob", "logprob", "margin"]
"""As of text classifiers: ``"logit"``: the class's logit; ``"prob"``: its probability;
``"logprob"``: the logarithm of its probability; ``"margin"``: its logit minus the largest of
another class."""
SCORES = ("logit", "prob", "logprob", "margin")
_LEAST = 1e-12
"""Probabilities from a file are taken to be at least this, for their logarithms."""


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A classifier as a function of a batch of images.

    Attributes:
        name: what the model is; not its file, which may move.
        outputs: the names of the classes; ``None``: their numbers.
        fingerprint: identifies the weights, the preprocessing and the score; ``None``: nothing
            does.
        score: what is read off the logits.
    """

    name: str
    outputs: tuple[str, ...] | None
    fingerprint: str | None
    score: str
    _logits: Callable[[Pixels], Any]

    def __call__(self, images: Pixels) -> FloatArray:
        """The scores of all classes, ``(b, k)``, of images ``(b, h, w, 3) uint8``."""
        return scored(np.asarray(self._logits(images), dtype=np.float64), self.score)


@dataclass(frozen=True)
class Resize:
    """What many classifiers do to an image before they read it.

    Attributes:
        size: height and width that the image is scaled to, by bicubic interpolation.
        mean: is subtracted from each channel, in units of 0 to 255.
        std: what each channel is divided by then.
        crop: the share of height and width that is kept, in the middle, before it is scaled.
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    crop: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1 or min(self.size) < 1 or min(self.std) <= 0:
            raise ValueError(
                f"{self} cannot be done; a size of 1 or more, standard deviations above 0 and a "
                "crop above 0 and up to 1 are expected"
            )

    def __call__(self, images: Pixels) -> Any:
        """A batch ``(b, h, w, 3) uint8`` as ``(b, 3, height, width) float32``."""
        module = require_pillow("scaling images")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"the images are {images.dtype} of the shape {images.shape}; uint8 (b, h, w, 3) is "
                "expected: give the path of a file, or an array of that type"
            )
        height, width = images.shape[1:3]
        top, left = (side * (1 - self.crop) / 2 for side in (height, width))
        box = (left, top, width - left, height - top)
        size = (self.size[1], self.size[0])
        scaled = np.stack(
            [
                np.asarray(module.fromarray(image).resize(size, module.Resampling.BICUBIC, box=box))
                for image in images
            ]
        ).astype(np.float32)
        mean, std = (np.array(channels, dtype=np.float32) for channels in (self.mean, self.std))
        normal = (scaled - mean) / std
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def scored(logits: FloatArray, score: str) -> FloatArray:
    """The scores of all classes by their logits ``(b, k)``."""
    if score == "logit":
        return logits
    if score == "margin":
        if logits.shape[1] < 2:
            raise ValueError(
                "score='margin' needs another class, but the model has one; use score='logit'"
            )
        second, first = np.moveaxis(np.partition(logits, -2, axis=1)[:, -2:], 1, 0)
        is_first = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]
        return np.asarray(logits - np.where(is_first, second[:, None], first[:, None]))
    shifted = logits - logits.max(axis=1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(np.exp(logprobs) if score == "prob" else logprobs)


def _checked(score: str) -> str:
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    return score


def from_torch(
    model: torch.nn.Module,
    preprocess: Callable[[Pixels], Any] | None = None,
    *,
    labels: Sequence[str] | None = None,
    score: ClassScore | str = "logit",
    fingerprint: str | None = None,
) -> ImageModel:
    """A torch module that gives logits, such as one of torchvision or timm.

    Args:
        model: in evaluation mode, on the device where it is to run.
        preprocess: from images ``(b, h, w, 3) uint8`` to the model's input, an array or a tensor;
            by default :class:`Resize` with the constants of ImageNet. Of torchvision:
            ``lambda images: weights.transforms()(torch.tensor(images).permute(0, 3, 1, 2))``.
        labels: the names of the classes.
        score: what is read off the logits; see :data:`ClassScore`.
        fingerprint: identifies the preprocessing, if it is a function of your own. The weights are
            hashed, but the module's code is not: another module with the same weights and class
            name has the same fingerprint.

    Raises:
        ValueError: an unknown score, or a model in training mode.
        MissingDependencyError: torch is not installed.
    """
    require_llm("an image classifier")
    import torch

    if model.training:
        raise ValueError("the model is in training mode; call model.eval() first")
    preprocess = Resize() if preprocess is None else preprocess
    known = asdict(preprocess) if isinstance(preprocess, Resize) else fingerprint
    weights = state_digest(model.state_dict())
    name = type(model).__name__
    first = next(model.parameters(), None)
    device = "cpu" if first is None else first.device
    kind = torch.float32 if first is None else first.dtype

    def logits(images: Pixels) -> Any:
        with torch.inference_mode():
            inputs = torch.as_tensor(preprocess(images)).to(device, kind)
            return model(inputs).double().cpu().numpy()

    identity: Json = {"class": name, "weights": weights, "preprocess": known, "score": score}
    return ImageModel(
        name,
        None if labels is None else tuple(map(str, labels)),
        None if weights is None or known is None else document_digest(identity),
        _checked(score),
        logits,
    )


def from_transformers(
    model: Any, processor: Any, *, score: ClassScore | str = "logit"
) -> ImageModel:
    """An image classifier of transformers with its image processor.

    Args:
        model: such as ``AutoModelForImageClassification.from_pretrained(...)``, in evaluation mode.
        processor: such as ``AutoImageProcessor.from_pretrained(...)``.
        score: what is read off the logits; see :data:`ClassScore`.

    Raises:
        ValueError: an unknown score, or a model in training mode.
        MissingDependencyError: torch or transformers are not installed.
    """
    require_llm("an image classifier")
    import torch

    check_usable(model)

    def logits(images: Pixels) -> Any:
        inputs = processor(images=list(images), return_tensors="pt").to(model.device, model.dtype)
        with torch.inference_mode():
            return model(**inputs).logits.double().cpu().numpy()

    weights, config = model_digest(model), model.config
    identity = {"weights": weights, "processor": settings_of(processor), "score": score}
    return ImageModel(
        type(model).__name__,
        tuple(str(config.id2label[number]) for number in range(config.num_labels)),
        None if weights is None else document_digest(identity),
        _checked(score),
        logits,
    )


def settings_of(processor: Any) -> str:
    """The settings of a processor of transformers, as a text to be hashed."""
    settings = processor.to_dict()
    for name in ("_name_or_path", "name_or_path", "processor_class", "transformers_version"):
        settings.pop(name, None)
    return document_digest({name: str(value) for name, value in settings.items()})


def from_onnx(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    labels: Sequence[str] | None = None,
    score: ClassScore | str = "logit",
    probabilities: bool = False,
) -> ImageModel:
    """An image classifier from an ``.onnx`` file.

    It has one input, ``(b, 3, h, w)`` or ``(b, h, w, 3)`` of floating point. ONNX files hold no
    code; those with weights in other files are refused.

    Args:
        path: the file.
        size: height and width of its input; by default what the file says, or else 224 by 224.
        mean: what is subtracted from each channel, in units of 0 to 255; by default ImageNet's.
        std: what each channel is divided by then; by default ImageNet's.
        labels: the names of the classes.
        score: what is read off the logits; see :data:`ClassScore`.
        probabilities: the model gives probabilities; their logarithms are taken as logits.

    Raises:
        ValueError: another kind of file, one that cannot be read, or inputs of another shape.
        MissingDependencyError: onnxruntime or pillow is not installed.
    """
    data = Path(path).read_bytes()
    session = onnx_session(path, data, "images", "reading ONNX models")
    inputs = session.get_inputs()
    shape = list(inputs[0].shape)
    channels_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
    if len(inputs) != 1 or len(shape) != 4 or not (channels_last or shape[1] == 3):
        raise ValueError(
            f"{path} takes {len(inputs)} inputs, the first of the shape {shape}; one of the shape "
            "(b, 3, h, w) or (b, h, w, 3) is expected"
        )
    own = shape[1:3] if channels_last else shape[2:]
    if size is None:
        size = (own[0], own[1]) if all(isinstance(side, int) for side in own) else Resize.size
    preprocess = Resize(size, mean or Resize.mean, std or Resize.std)
    is_single = shape[0] == 1

    def asked(batch: Any) -> Any:
        return session.run([session.get_outputs()[0].name], {inputs[0].name: batch})[0]

    def logits(images: Pixels) -> Any:
        batch = preprocess(images)
        if channels_last:
            batch = batch.transpose(0, 2, 3, 1)
        parts = [batch[row : row + 1] for row in range(len(batch))] if is_single else [batch]
        answers = np.concatenate([asked(part) for part in parts]).reshape(len(batch), -1)
        return np.log(np.maximum(answers, _LEAST)) if probabilities else answers

    identity = {
        "file": hashlib.sha256(data).hexdigest(),
        "preprocess": asdict(preprocess),
        "probabilities": probabilities,
        "score": _checked(score),
    }
    named = None if labels is None else tuple(map(str, labels))
    return ImageModel("ONNX model", named, document_digest(identity), score, logits)
