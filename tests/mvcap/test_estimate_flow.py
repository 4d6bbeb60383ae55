"""The verb ``estimate`` with optical flow: what it refuses, chunks, resumed runs, and frames that are dropped."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import synthetic_take as synthetic

import mvcap
from mvcap import stages
from mvcap.errors import ConfigError, StaleError
from mvcap.estimate import EstimateConfig
from mvcap.structures.contracts import Estimate
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session
from mvcap.structures.video_writer import write_video

FRAMES = 24


@dataclass(frozen=True)
class FlickerConfig:
    stop: int = 10**6


class Flicker:
    """Estimator of one tracked person, missed in every fifth image; its state counts them. Fails at image ``stop``."""

    Config = FlickerConfig
    skeleton = synthetic.COCO
    needs_images = True

    def __init__(self, config):
        self.config = config

    def prepare(self, views):
        return "flicker"

    def estimate(self, image, frame, view, state):
        count = int(state.get("count", 0))
        if count == Flicker.stop:
            raise KeyboardInterrupt
        xy = 20 + np.stack([3.0 * (np.arange(17) % 5), 5.0 * (np.arange(17) // 5)], -1)[None] + 0.1 * count
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, np.full((1, 17), 0.8), 1.0, [4])
        return Estimate(rows[: int(count % 5 != 3)], {"count": np.array(count + 1)})

    stop = 10**6


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    """Three short videos of still pictures, and their rig."""
    import cv2

    folder = tmp_path_factory.mktemp("take")
    (folder / "videos").mkdir()
    for camera in range(1, 4):
        still = cv2.resize(np.random.default_rng(camera).integers(0, 255, (12, 16, 3), dtype=np.uint8), (64, 48))
        write_video(folder / "videos" / f"cam{camera}.mp4", [still] * FRAMES, 25.0, (64, 48))
    mvcap.save_rig(synthetic.ring_rig(3, size=(64, 48)), folder / "rig.yaml")
    return folder


@pytest.fixture
def session(take, tmp_path, monkeypatch):
    """A session of it, with flow, in chunks of ten frames."""
    monkeypatch.setattr(stages.run_stage, "__defaults__", (10,))
    made = mvcap.init(take / "videos", take / "rig.yaml", tmp_path / "session")
    made.override({"estimator": f"{__name__}:Flicker", "estimate": {"temporal": "flow", "threads": 2}})
    return made


def chunks(session):
    folder = session.folder / "artefacts" / "estimate"
    return {path.name: path.read_bytes() for path in folder.glob("*.npz")}


def test_people_missed_for_a_moment_are_put_in(session):
    rows = mvcap.estimate(session).between(0, FRAMES)
    assert rows.frame.tolist() == np.repeat(np.arange(FRAMES - 1), 3).tolist()  # nothing is known after the last one
    missed = rows.frame % 5 == 3
    assert rows.score[missed].max() < rows.score[~missed].min()
    assert (rows.noise_px[missed].min(0) > np.median(rows.noise_px[~missed], axis=0)).all()


def test_an_interrupted_run_is_the_same_to_the_bit(session, monkeypatch, tmp_path):
    fresh = Session.open(shutil.copytree(session.folder, tmp_path / "fresh"))
    mvcap.estimate(session)
    monkeypatch.setattr(Flicker, "stop", 17)
    with pytest.raises(KeyboardInterrupt):
        mvcap.estimate(fresh)
    assert len(chunks(fresh)) == 1
    monkeypatch.setattr(Flicker, "stop", 10**6)
    mvcap.estimate(Session.open(fresh.folder))
    assert chunks(fresh) == chunks(session) and len(chunks(session)) == 3


def test_flow_goes_by_the_images_that_were_looked_at(session):
    session.override({"estimate": {"every": 3}})
    rows = mvcap.estimate(session).between(0, FRAMES)
    assert np.unique(rows.frame).tolist() == list(range(0, FRAMES, 3))
    assert (np.bincount(rows.frame)[::3] == 3).all()  # the image that is missed is put in


def test_a_change_makes_the_detections_stale(session):
    mvcap.estimate(session)
    session.override({"estimate": {"flow_frames": 3}})
    with pytest.raises(StaleError, match=r"estimate\.flow_frames was 2, now 3"):
        mvcap.estimate(session)


def test_estimators_of_files_are_refused(tmp_path):
    session = synthetic.make_session(tmp_path, 4)
    session.override({"estimate": {"temporal": "flow"}})
    with pytest.raises(ConfigError, match=r"needs images, and estimator 'oracle' reads none"):
        mvcap.estimate(session)


@pytest.mark.parametrize("wrong", [{"temporal": "backward"}, {"flow_frames": 0}, {"flow_frames": 11}])
def test_settings_that_are_not_possible_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"estimate\."):
        EstimateConfig(**wrong)
