"""Lifters: the joints of one person in one view in three dimensions about the root, one file each."""
