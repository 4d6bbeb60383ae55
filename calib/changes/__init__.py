"""What tells that a camera of a rig is no longer where it was: the evidence, steps in it, their dates, the culprits."""
