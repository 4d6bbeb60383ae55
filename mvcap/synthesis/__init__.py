"""Synthetic people, motion, scenes, rigs and errors of 2D detectors, with ground truth."""
