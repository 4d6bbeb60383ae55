"""What several refiners share: observations, body constraints, the banded solver and time series."""
