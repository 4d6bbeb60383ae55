"""What `tools/bench` measures: one file a table, the baselines beside it, and the programs of others."""
