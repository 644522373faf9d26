"""The training lens: which training data act together."""

from interplay.training.analysis.relations import Relation, Relations, relations
from interplay.training.analysis.removal import Removal, removal_curves
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
    "clusters",
    "near_duplicates",
    "relations",
    "removal_curves",
    "within_classes",
]
