"""What is wrong with footage: reading files that may be damaged, and checks on times and pictures."""
