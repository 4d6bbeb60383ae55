"""Shared parts of the benchmarks: the clip that each reader returns, head rules, and the table of scores."""
