"""From an initial rig to the final one: time offsets and iterative reweighting."""
