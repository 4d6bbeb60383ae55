"""Shared parts of the 2D estimators: running networks and reading prediction files."""
