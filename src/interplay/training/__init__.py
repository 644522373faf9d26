"""The training lens: which training data act together."""

from interplay.training.analysis.harm import Harm, harmful
from interplay.training.analysis.relations import Relation, Relations, relations
from interplay.training.analysis.removal import Removal, removal_curves
from interplay.training.analysis.undoing import Undoing, undoing_set
from interplay.training.data import TrainingData
from interplay.training.game import TrainingGame
from interplay.training.groups import clusters, near_duplicates, within_classes
from interplay.training.scores import ScoreFunction
from interplay.training.trainers.base import Retrain, Trainer
from interplay.training.trainers.estimator import Estimator
from interplay.training.trainers.logistic import Logistic
from interplay.training.trainers.network import Network
from interplay.training.trainers.ridge import Ridge

__all__ = [
    "Estimator",
    "Harm",
    "Logistic",
    "Network",
    "Relation",
    "Relations",
    "Removal",
    "Retrain",
    "Ridge",
    "ScoreFunction",
    "Trainer",
    "TrainingData",
    "TrainingGame",
    "Undoing",
    "clusters",
    "harmful",
    "near_duplicates",
    "relations",
    "removal_curves",
    "undoing_set",
    "within_classes",
]
