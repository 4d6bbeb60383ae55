"""Associators: who is who across the views of one frame, one file each."""
