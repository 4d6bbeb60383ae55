"""Which detections of different views show the same person, within one frame: affinities, the graph and its clustering."""
