"""Poses of boards, wands and cameras: from pairs of views to a first rig."""
