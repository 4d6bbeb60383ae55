"""``python -m mvcap.cli``: the command line without the installed script ``mvcap``."""

from mvcap.cli.main import main

if __name__ == "__main__":
    main()
