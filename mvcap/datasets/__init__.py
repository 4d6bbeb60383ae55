"""Training data without images: people in motion, cameras, and what a 2D estimator would make of them."""
