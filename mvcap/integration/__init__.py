"""Integration of two readings of the same people in one view, and bodies that are apart from each other."""
