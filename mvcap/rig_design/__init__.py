"""Where to put cameras: what a rig will see of people in a room, how accurate that is, and layouts that do better."""
