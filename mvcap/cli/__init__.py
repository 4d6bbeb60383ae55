"""The command line: parses, calls, prints. One file a verb or group of verbs."""
