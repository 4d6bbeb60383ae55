"""One identity per person over time: an online Kalman filter, tracklets, and merging them over the take."""
