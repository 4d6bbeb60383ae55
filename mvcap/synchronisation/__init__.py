"""Synchronisation: offsets and drifts between views from sound and from people, on arrays."""
