"""Data sets with truth, one file a kind."""
