"""Poses in the formats of others: one file a format, each with ``write(take, path)``; the table is in ``mvcap.export``.

Every format is written piece by piece, so that memory does not grow with the take, names its unit and its axes inside
the file, and comes into being whole or not at all.
"""
