"""The bench of the viewer: its sessions are finished ones, and a server of its own is measured."""

import importlib
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from built_page import needs_page

from mvcap import stages
from mvcap.cloud import cloud_frames, read_cloud

sys.path.append(str(Path(__file__).parents[1] / "tools"))


@pytest.fixture
def bench(monkeypatch):
    module = importlib.import_module("benches.viewer")
    monkeypatch.setattr(module, "PICTURE", (64, 36))
    monkeypatch.setattr(module, "POINTS", 500)
    return module


@needs_page
def test_sessions_have_people_videos_and_clouds(bench, tmp_path):
    session = bench.made_session(tmp_path / "short.mvcap", 12, 2, 3, videos=True)
    poses = stages.poses(session, "refine").between(0, 12)
    assert len(poses) == 24 and np.isfinite(poses.xyz).all() and session.has_footage() and len(session.views) == 3
    assert cloud_frames(session) == [0, 10] and len(read_cloud(session, 10).xyz) == 500
    process, url = bench.served(session)
    try:
        with urllib.request.urlopen(url + "scene.json", timeout=10) as answer:
            assert b'"clouds": [0, 10]' in answer.read()
        assert bench.memory_mb(process.pid) is None or 20 < bench.memory_mb(process.pid) < 500
    finally:
        process.kill()
        process.wait()
    assert bench.memory_mb(2**22 + os.getpid()) is None
