"""Detectors of calibration boards in images, one module for each kind."""
