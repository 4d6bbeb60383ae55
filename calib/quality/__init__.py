"""How far to trust a calibration: uncertainty, consistency, board shape, verdict."""
