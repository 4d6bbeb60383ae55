"""Synchronisers: by how much views on clocks of their own are late, one file for each kind of evidence."""
