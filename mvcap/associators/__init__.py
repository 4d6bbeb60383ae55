"""Associators: which detections of different views show the same person in one frame, one file each."""
