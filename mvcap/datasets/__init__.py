"""Data sets with ground truth, one module for each kind."""
