"""Poses of boards, wands and cameras: from pairs of views to an initial rig."""
