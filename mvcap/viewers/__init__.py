"""Viewers: how ``mvcap view`` shows a session, one file each."""
