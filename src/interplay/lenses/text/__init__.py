"""The text lens: which parts of a prompt act together. Torch is imported when it is used."""

from interplay.lenses.text.api import ApiGame
from interplay.lenses.text.embeddings import EmbeddingSimilarity, answer_similarity
from interplay.lenses.text.game import TextGame
from interplay.lenses.text.labels import Label, Labels
from interplay.lenses.text.models import PACKAGED, load_model
from interplay.lenses.text.prompts.masking import Replace
from interplay.lenses.text.prompts.segments import split
from interplay.lenses.text.reading.generation import Generated
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
    "EmbeddingSimilarity",
    "Generated",
    "Label",
    "Labels",
    "LogitDifference",
    "LogitFunction",
    "Options",
    "Readout",
    "Replace",
    "Response",
    "Target",
    "TextGame",
    "answer_similarity",
    "load_model",
    "split",
]
