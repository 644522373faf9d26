"""Runs served to a browser on this machine: ``interplay open`` and ``interplay studio``."""
