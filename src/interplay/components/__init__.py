"""The components lens: which heads, MLPs and layers act together. Torch is imported when used."""

from interplay.components.ablations import Mean, Resample, Zero
from interplay.components.analysis.adaptive import adaptive_circuits
from interplay.components.analysis.baselines import baselines
from interplay.components.analysis.circuits import Circuits, Ranking
from interplay.components.analysis.judging import Comparison, compare_circuits, with_divergence
from interplay.components.analysis.predicted import predicted_circuits
from interplay.components.analysis.pruning import Pruned, prune
from interplay.components.analysis.structure import LayerShare, Structure, structure
from interplay.components.game import ComponentGame
from interplay.components.joint import Joint
from interplay.components.latent_units import latents
from interplay.components.tasks import Item, LogitScore, Task
from interplay.components.units import (
    Group,
    Unit,
    by_layers,
    heads,
    kv_groups,
    layers,
    mlps,
    neurons,
)

__all__ = [
    "Circuits",
    "Comparison",
    "ComponentGame",
    "Group",
    "Item",
    "Joint",
    "LayerShare",
    "LogitScore",
    "Mean",
    "Pruned",
    "Ranking",
    "Resample",
    "Structure",
    "Task",
    "Unit",
    "Zero",
    "adaptive_circuits",
    "baselines",
    "by_layers",
    "compare_circuits",
    "heads",
    "kv_groups",
    "latents",
    "layers",
    "mlps",
    "neurons",
    "predicted_circuits",
    "prune",
    "structure",
    "with_divergence",
]
