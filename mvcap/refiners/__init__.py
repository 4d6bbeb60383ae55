"""Refiners: improve the poses of one person over a window of frames, one file each."""
