"""Tests of the viewer's page need its script, which tools/setup builds with npm or takes from the cache."""

from pathlib import Path

import pytest

import mvcap

SCRIPT = Path(mvcap.__file__).parent / "viewers" / "browser_page" / "viewer.js"
needs_page = pytest.mark.skipif(not SCRIPT.is_file(), reason="the viewer's page is not built: tools/setup says why")
