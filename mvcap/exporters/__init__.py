"""Writers of pose files: one module per format, each with ``write(take, path)``; ``mvcap.plugins`` lists them.

Every format is written block by block, so that memory does not grow with the take, states its unit and its axes inside
the file, and is written atomically.
"""
