"""Associators of others, written for the bench from their published descriptions; plug-ins by `package.module:Class`.

They associate by the geometry of one frame alone; the stages after them are ours.
"""
