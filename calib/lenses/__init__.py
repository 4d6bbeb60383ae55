"""Intrinsics: lens models, their estimation, priors, and which parameters images determine."""
