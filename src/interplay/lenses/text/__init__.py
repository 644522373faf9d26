"""The text lens: which parts of a prompt act together. Torch is imported when it is used."""

from interplay.lenses.text.api import ApiGame, Similarity
from interplay.lenses.text.game import TextGame
from interplay.lenses.text.masking import Replace
from interplay.lenses.text.models import PACKAGED, load_model
from interplay.lenses.text.segments import split
from interplay.lenses.text.targets import (
    LogitDifference,
    LogitFunction,
    Options,
    Readout,
    Response,
    Target,
)

__all__ = [
    "PACKAGED",
    "ApiGame",
    "LogitDifference",
    "LogitFunction",
    "Options",
    "Readout",
    "Replace",
    "Response",
    "Similarity",
    "Target",
    "TextGame",
    "load_model",
    "split",
]
