"""Metrics of estimated poses against ground truth: pure functions of tables, one file per kind of metric."""
