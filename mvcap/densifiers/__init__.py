"""Densifiers: points on the surface of people out of images and masks of one moment, one file each."""
