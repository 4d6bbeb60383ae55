"""Root depths: how far a person who is lifted from one view is from the camera. Contract: ``RootDepth``."""
