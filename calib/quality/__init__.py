"""The quality of a calibration: uncertainty, consistency, board shape, verdict."""
