"""Refiners: better poses of one person over a window of frames, one file each."""
