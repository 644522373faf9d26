"""Trainers: ways to retrain a model on subsets."""
