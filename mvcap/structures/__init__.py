"""Data structures of motion capture: skeletons, tables, footage and sessions. They do not import any verb."""
