"""Pixels only: colours, overlays, the contact sheet and learning curves."""
