"""Networks, plain torch: no files, no settings."""
