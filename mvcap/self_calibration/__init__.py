"""A rig from people alone: single-view tracks, cross-view matches, time offsets, incremental rig, floor and scale."""
