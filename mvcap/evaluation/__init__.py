"""What benchmarks share: the clip that each gives, head rules, the table of comparison."""
