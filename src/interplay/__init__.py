"""Interplay finds the interactions that drive a model's behaviour, by ablation."""

from importlib.metadata import version

from interplay import components, optimize, plots, text, training
from interplay.ablation.backends import RayBackend
from interplay.confirmation import Confirmation
from interplay.decoders import decode, spex
from interplay.errors import GameError, MissingDependencyError, StoreError
from interplay.evaluation import Faithfulness, lds
from interplay.explain import explain
from interplay.explanation import Explanation, load
from interplay.game import FunctionGame, Game
from interplay.indices import INDICES
from interplay.interactions import Interactions
from interplay.plan import Plan, plan
from interplay.spectrum import Spectrum
from interplay.verification.checks import Verification
from interplay.verify import verify

__version__ = version("interplay")

__all__ = [
    "INDICES",
    "Confirmation",
    "Explanation",
    "Faithfulness",
    "FunctionGame",
    "Game",
    "GameError",
    "Interactions",
    "MissingDependencyError",
    "Plan",
    "RayBackend",
    "Spectrum",
    "StoreError",
    "Verification",
    "components",
    "decode",
    "explain",
    "lds",
    "load",
    "optimize",
    "plan",
    "plots",
    "spex",
    "text",
    "training",
    "verify",
]
