"""The image lens: which regions of an image, and words beside it, act together in a score."""

from interplay.images.classifiers import (
    ImageModel,
    Resize,
    from_onnx,
    from_torch,
    from_transformers,
)
from interplay.images.fills import Blur, Constant, Fill, Noise, Other
from interplay.images.game import ImageGame
from interplay.images.joint import ImageTextGame
from interplay.images.regions import Regions, boxes, grid, parts, superpixels
from interplay.images.vision_language import VisionLanguageModel, from_vision_language

__all__ = [
    "Blur",
    "Constant",
    "Fill",
    "ImageGame",
    "ImageModel",
    "ImageTextGame",
    "Noise",
    "Other",
    "Regions",
    "Resize",
    "VisionLanguageModel",
    "boxes",
    "from_onnx",
    "from_torch",
    "from_transformers",
    "from_vision_language",
    "grid",
    "parts",
    "superpixels",
]
