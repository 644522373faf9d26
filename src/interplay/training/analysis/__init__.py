"""Uses of explanations of training data: what acts together, removal curves."""
