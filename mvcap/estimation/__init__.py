"""What several 2D estimators share: running networks, reading prediction files."""
