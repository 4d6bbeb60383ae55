"""Which detections of different views show the same person in one frame: affinities, the graph and its clustering."""
