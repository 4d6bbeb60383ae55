"""Intrinsics: lens models, their estimation, priors, and what pictures can tell of a lens."""
