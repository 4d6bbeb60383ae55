"""What several refiners share: observations, body constraints, the banded solver, time series."""
