"""2D estimators: networks that run here, and readers for the files of other 2D estimators."""
