"""Detects cameras of a rig that have moved: the evidence of a take, change points in it, the cameras responsible."""
