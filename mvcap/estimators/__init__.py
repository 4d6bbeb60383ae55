"""People in single pictures: the networks that are run here, and the files of 2D estimators that were run elsewhere."""
