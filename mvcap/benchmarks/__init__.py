"""Readers of public benchmarks, one file each: cameras, ground truth and 2D input."""
