"""Bodies fitted to reconstructed skeletons: shape and joint definitions of a take, poses of its frames."""
