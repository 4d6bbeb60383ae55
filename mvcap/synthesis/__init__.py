"""People, motion, scenes, rigs and the errors of 2D detectors, generated with truth."""
