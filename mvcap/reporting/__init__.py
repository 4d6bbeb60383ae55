"""Figures, plots, verdict and page of a take's report."""
