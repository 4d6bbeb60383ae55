"""Fixtures: rigs, points that they see, and where the recordings are."""

import os
from pathlib import Path

import numpy as np
import pytest
from ring_rigs import make_mixed_rig, make_rig


@pytest.fixture
def rig():
    return make_rig()


@pytest.fixture
def mixed_rig():
    return make_mixed_rig()


@pytest.fixture
def points():
    """World points (60, 3) that every camera of the rings sees."""
    return np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (60, 3))


@pytest.fixture
def data():
    """The folder of recordings; the test is skipped where it is not."""
    folder = Path(os.environ.get("MVCAP_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; the variable MVCAP_DATA says where they are")

    def at(relative):
        path = folder / relative
        if not path.exists():
            pytest.skip(f"no {relative} among the recordings at {folder}")
        return path

    return at
