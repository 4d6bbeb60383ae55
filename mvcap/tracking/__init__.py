"""One number for each person through time: an online filter, tracklets, and merging them over the take."""
