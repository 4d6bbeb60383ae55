"""Verbs that ``mvcap batch`` runs over a folder, one file each; ``mvcap.plugins`` lists them.

The contract is ``mvcap.batching.job.Job``.
"""
