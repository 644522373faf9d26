"""The training lens: which training data act together."""

from interplay.lenses.training.data import TrainingData
from interplay.lenses.training.game import TrainingGame
from interplay.lenses.training.groups import clusters, near_duplicates, within_classes
from interplay.lenses.training.scores import ScoreFunction
from interplay.lenses.training.trainers.base import Retrain, Trainer
from interplay.lenses.training.trainers.estimator import Estimator
from interplay.lenses.training.trainers.logistic import Logistic
from interplay.lenses.training.trainers.network import Network
from interplay.lenses.training.trainers.ridge import Ridge

__all__ = [
    "Estimator",
    "Logistic",
    "Network",
    "Retrain",
    "Ridge",
    "ScoreFunction",
    "Trainer",
    "TrainingData",
    "TrainingGame",
    "clusters",
    "near_duplicates",
    "within_classes",
]
