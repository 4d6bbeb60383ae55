"""``python -m mvcap.cli``: the command line without its script."""

from mvcap.cli.main import main

if __name__ == "__main__":
    main()
