"""From a first rig to the final one: time offsets and iterative reweighting."""
