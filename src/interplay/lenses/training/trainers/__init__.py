"""Ways to retrain."""
