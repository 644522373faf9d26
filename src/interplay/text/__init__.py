"""The text lens: which parts of a prompt act together. Torch is imported when it is used."""

from interplay.text.agents import (
    AgentGame,
    AgentRun,
    Argument,
    FinalAnswer,
    Replay,
    ToolCall,
    ToolChoice,
)
from interplay.text.analysis.drill import Refinement, drill
from interplay.text.api import ApiGame
from interplay.text.claims import judge_claims
from interplay.text.embeddings import EmbeddingSimilarity, answer_similarity
from interplay.text.game import TextGame
from interplay.text.inference.generation import Generated
from interplay.text.labels import Label, Labels
from interplay.text.models import PACKAGED, load_model
from interplay.text.pipelines import from_pipeline
from interplay.text.prompts.masking import Replace
from interplay.text.prompts.resample import Resample
from interplay.text.prompts.segments import split
from interplay.text.prompts.swap import Swap
from interplay.text.provider import ProviderGame
from interplay.text.readouts import Readout
from interplay.text.rows import Row, RowPrompt, from_rows, from_samples, read_rows
from interplay.text.sample_files import read_samples
from interplay.text.samples import Sample
from interplay.text.shallow import early_exit
from interplay.text.targets import (
    AnswerTarget,
    Contrast,
    LogitDifference,
    LogitFunction,
    Options,
    Response,
    Target,
)

__all__ = [
    "PACKAGED",
    "AgentGame",
    "AgentRun",
    "AnswerTarget",
    "ApiGame",
    "Argument",
    "Contrast",
    "EmbeddingSimilarity",
    "FinalAnswer",
    "Generated",
    "Label",
    "Labels",
    "LogitDifference",
    "LogitFunction",
    "Options",
    "ProviderGame",
    "Readout",
    "Refinement",
    "Replace",
    "Replay",
    "Resample",
    "Response",
    "Row",
    "RowPrompt",
    "Sample",
    "Swap",
    "Target",
    "TextGame",
    "ToolCall",
    "ToolChoice",
    "answer_similarity",
    "drill",
    "early_exit",
    "from_pipeline",
    "from_rows",
    "from_samples",
    "judge_claims",
    "load_model",
    "read_rows",
    "read_samples",
    "split",
]
