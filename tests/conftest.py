"""The folders of the tests are named as the packages: put the packages themselves first on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
