"""Interplay finds the interactions that drive a model's behaviour, by ablation."""

from importlib.metadata import version

from interplay import components, optimize, plots, tabular, text, toolkits, training
from interplay.ablation.backends.ray import RayBackend
from interplay.audit.checks import Verification
from interplay.audit.verify import verify
from interplay.confirmation.verdict import Confirmation
from interplay.decoders import spex
from interplay.decoders.decode import decode
from interplay.designs.measures import Keep, Measure
from interplay.errors import (
    AblationError,
    ExtrapolationWarning,
    GameError,
    InterplayError,
    MissingDependencyError,
    OutputShapeError,
    StoreError,
)
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.explanation.exports import export
from interplay.explanation.faithfulness import Faithfulness, lds
from interplay.explanation.loading import load
from interplay.explanation.plan import Plan, plan
from interplay.extensions import INDICES
from interplay.fourier.interactions import Interactions
from interplay.fourier.spectrum import Spectrum
from interplay.game import FunctionGame, Game

__version__ = version("interplay")

__all__ = [
    "INDICES",
    "AblationError",
    "Confirmation",
    "Explanation",
    "ExtrapolationWarning",
    "Faithfulness",
    "FunctionGame",
    "Game",
    "GameError",
    "Interactions",
    "InterplayError",
    "Keep",
    "Measure",
    "MissingDependencyError",
    "OutputShapeError",
    "Plan",
    "RayBackend",
    "Spectrum",
    "StoreError",
    "Verification",
    "components",
    "decode",
    "explain",
    "export",
    "lds",
    "load",
    "optimize",
    "plan",
    "plots",
    "spex",
    "tabular",
    "text",
    "toolkits",
    "training",
    "verify",
]
