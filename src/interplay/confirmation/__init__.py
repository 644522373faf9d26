"""Test the interactions that an explanation claims, by fresh ablations."""
