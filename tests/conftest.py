"""The folders of the tests are named as the packages: put the packages themselves first on the path."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[1]))

# Shared machines stall now and then: what is slow is no fault of a property.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
