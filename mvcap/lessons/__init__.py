"""What each network of the learned graph is taught: one file a network."""
