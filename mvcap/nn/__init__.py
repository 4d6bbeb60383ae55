"""Networks in plain torch, without files or settings."""
