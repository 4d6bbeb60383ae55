"""The subcommands of ``mvcap rig``, one file each."""
