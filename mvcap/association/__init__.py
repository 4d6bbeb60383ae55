"""Association across views: find the detections that show the same person in one frame."""
