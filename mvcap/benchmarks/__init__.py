"""Readers of public benchmarks, one file each: cameras, truth, and how people in 2D are had."""
