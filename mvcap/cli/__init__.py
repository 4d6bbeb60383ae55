"""The command line: parses arguments, calls the library, prints. One file per verb or group of verbs."""
