"""How good a result is beside the truth: pure functions of tables, one file a question."""
