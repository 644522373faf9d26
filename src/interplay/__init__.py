"""Interplay finds the interactions that drive a model's behaviour, by ablation."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from interplay.extensions import lazily

if TYPE_CHECKING:
    from interplay import components, images, optimize, plots, tabular, text, toolkits, training
    from interplay.ablation.backends.ray import RayBackend
    from interplay.audit.checks import Verification
    from interplay.audit.compare import Comparison, compare
    from interplay.audit.expectations import Expected, expect
    from interplay.audit.result import Audit
    from interplay.audit.sets import audit_prompts
    from interplay.audit.verify import verify
    from interplay.confirmation.changes import Equivalence
    from interplay.confirmation.equivalence import equivalence
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
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "AblationError": "interplay.errors:AblationError",
            "Audit": "interplay.audit.result:Audit",
            "Comparison": "interplay.audit.compare:Comparison",
            "Confirmation": "interplay.confirmation.verdict:Confirmation",
            "Equivalence": "interplay.confirmation.changes:Equivalence",
            "Expected": "interplay.audit.expectations:Expected",
            "Explanation": "interplay.explanation.explanation:Explanation",
            "ExtrapolationWarning": "interplay.errors:ExtrapolationWarning",
            "Faithfulness": "interplay.explanation.faithfulness:Faithfulness",
            "FunctionGame": "interplay.game:FunctionGame",
            "Game": "interplay.game:Game",
            "GameError": "interplay.errors:GameError",
            "INDICES": "interplay.extensions:INDICES",
            "Interactions": "interplay.fourier.interactions:Interactions",
            "InterplayError": "interplay.errors:InterplayError",
            "Keep": "interplay.designs.measures:Keep",
            "Measure": "interplay.designs.measures:Measure",
            "MissingDependencyError": "interplay.errors:MissingDependencyError",
            "OutputShapeError": "interplay.errors:OutputShapeError",
            "Plan": "interplay.explanation.plan:Plan",
            "RayBackend": "interplay.ablation.backends.ray:RayBackend",
            "Spectrum": "interplay.fourier.spectrum:Spectrum",
            "StoreError": "interplay.errors:StoreError",
            "Verification": "interplay.audit.checks:Verification",
            "audit_prompts": "interplay.audit.sets:audit_prompts",
            "compare": "interplay.audit.compare:compare",
            "decode": "interplay.decoders.decode:decode",
            "equivalence": "interplay.confirmation.equivalence:equivalence",
            "expect": "interplay.audit.expectations:expect",
            "explain": "interplay.explanation.explain:explain",
            "export": "interplay.explanation.exports:export",
            "lds": "interplay.explanation.faithfulness:lds",
            "load": "interplay.explanation.loading:load",
            "plan": "interplay.explanation.plan:plan",
            "spex": "interplay.decoders.spex",
            "verify": "interplay.audit.verify:verify",
        },
    )

__version__ = version("interplay")

__all__ = [
    "INDICES",
    "AblationError",
    "Audit",
    "Comparison",
    "Confirmation",
    "Equivalence",
    "Expected",
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
    "audit_prompts",
    "compare",
    "components",
    "decode",
    "equivalence",
    "expect",
    "explain",
    "export",
    "images",
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
