"""Looking at every N-th frame only: what estimators are given, what later stages make of it, and what is reported."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import synthetic_take as synthetic
from scipy.stats import chi2

import mvcap
from mvcap import stages
from mvcap.errors import ConfigError, StaleError
from mvcap.estimate import EstimateConfig
from mvcap.structures.contracts import Estimate
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Provenance, full_covariance
from mvcap.structures.session import Session

FRAMES = 101


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    """A take of four walkers at 25 Hz, reconstructed from every frame and from every third."""
    made = {}
    for every in (1, 3):
        session = synthetic.make_session(tmp_path_factory.mktemp(f"every{every}"), FRAMES, settings={"missing": 0.02})
        session.override({"estimate": {"every": every}, "report": {"overlays": False}, "export": {"formats": ["csv"]}})
        made[every] = session, mvcap.reconstruct(session)
    return made


def off_and_cov(session):
    """Errors (N, 3) m of measured and filled joints, covariances (N, 3, 3) m^2, and their frames (N,)."""
    poses = stages.poses(session, "refine").between(0, FRAMES)
    true = synthetic.truth(FRAMES).dense(FRAMES, np.arange(1, 5))
    off = poses.xyz[:, None] - true[poses.frame]
    who = np.nanmean(np.linalg.norm(off, axis=-1), axis=-1).argmin(1)
    off = off[np.arange(len(off)), who]
    known = np.isfinite(off).all(-1)
    frame = np.broadcast_to(poses.frame[:, None], known.shape)
    return off[known].astype(float), full_covariance(poses.cov[known].astype(float)), frame[known]


def test_only_every_third_frame_has_rows(takes):
    rows = stages.detections(takes[3][0], "estimate").between(0, FRAMES)
    assert np.unique(rows.frame).tolist() == list(range(0, FRAMES, 3))
    whole = stages.detections(takes[1][0], "estimate").between(0, FRAMES)
    assert np.array_equal(rows.xy, whole[whole.frame % 3 == 0].xy, equal_nan=True)  # files keep their numbers


def test_people_keep_their_ids_and_the_frames_in_between_are_filled(takes):
    session, summary = takes[3]
    assert [(one["id"], one["frames"]) for one in summary["people"]] == [(person, 100) for person in (1, 2, 3, 4)]
    assert summary["identities"]["dropped"]["person_frames"] == 0
    poses = stages.poses(session, "refine").between(0, FRAMES)
    filled = poses.frame % 3 != 0
    assert np.isfinite(poses.xyz[filled]).all(-1).mean() > 0.99
    source = poses.provenance[filled][np.isfinite(poses.xyz[filled]).all(-1)]
    assert set(np.unique(source)) <= {Provenance.INTERPOLATED, Provenance.PRIOR}
    assert (poses.views[filled] == 0).all()


def test_filled_joints_are_as_accurate_as_they_say(takes):
    off, cov, frame = off_and_cov(takes[3][0])
    filled = frame % 3 != 0
    assert np.median(np.linalg.norm(off[filled], axis=-1)) < 0.012
    square = np.einsum("na,na->n", off, np.linalg.solve(cov, off[..., None])[..., 0])[filled]
    assert 0.6 < (square < chi2.ppf(0.68, 3)).mean() < 0.9 and (square < chi2.ppf(0.95, 3)).mean() > 0.93
    trace = np.trace(cov, axis1=1, axis2=2)
    assert np.median(trace[filled]) > np.median(trace[~filled])  # time adds to it


def test_the_report_says_so_and_counts_the_frames_that_were_looked_at(takes):
    summary, whole = takes[3][1], takes[1][1]
    assert summary["frame_step"] == 3 and whole["frame_step"] == 1 and not whole["warnings"]
    [warning] = summary["warnings"]
    assert warning.startswith("every 3rd frame was looked at (estimate.every=3)")
    assert summary["verdict"]["level"] == whole["verdict"]["level"] == "trust"
    assert summary["one_view"]["share_rows_no_view"] < 0.01 and summary["one_view"]["share_joints_no_view"] < 0.01
    for one, other in zip(summary["people"], whole["people"], strict=True):
        assert one["views_used"] == other["views_used"]
    assert summary["accuracy"]["by_source"]["no_view"]["share_joints"] > 0.6  # which is what they are


def test_another_step_makes_the_detections_stale(takes, tmp_path):
    session = Session.open(shutil.copytree(takes[3][0].folder, tmp_path / "session"))
    session.override({"estimate": {"every": 2}})
    with pytest.raises(StaleError, match=r"estimate\.every was 3, now 2"):
        mvcap.estimate(session)
    assert "estimate.every" not in stages.detections(takes[1][0], "estimate").manifest["settings"]


def test_a_step_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"estimate\.every"):
        EstimateConfig(every=0)


@dataclass(frozen=True)
class WatcherConfig:
    log: str


class Watcher:
    """Estimator that writes down what it is given, and counts the images in its state."""

    Config = WatcherConfig
    skeleton = synthetic.COCO
    needs_images = True

    def __init__(self, config):
        self.config = config

    def prepare(self, views):
        assert len({(view.rate_hz, view.frames) for view in views}) == 1
        self.about = views[0].rate_hz, views[0].frames
        return "watcher"

    def estimate(self, image, frame, view, state):
        count = state.get("count", np.array(0)) + 1
        with Path(self.config.log).open("a") as log:
            log.write(json.dumps([view.index, frame, round(float(image.mean()), 3), int(count), *self.about]) + "\n")
        xy = np.full((1, 17, 2), float(image.mean()))
        return Estimate(
            Detections2D.build(self.skeleton, frame, view.index, xy, np.ones((1, 17)), 1.0), {"count": count}
        )


@pytest.mark.parametrize("kind", ["videos", "images"])
def test_an_estimator_of_images_is_given_footage_of_a_lower_rate(tmp_path, kind, monkeypatch):
    import cv2

    count, every = 25, 4
    for camera in range(1, 4):
        if kind == "videos":
            synthetic.write_clip(tmp_path / "take" / f"cam{camera}.mp4", count, seed=camera)
            continue
        (tmp_path / "take" / f"cam{camera}").mkdir(parents=True)
        for frame in range(count):
            picture = np.full((48, 64, 3), 5 * frame + camera, np.uint8)
            cv2.imwrite(str(tmp_path / "take" / f"cam{camera}" / f"{frame:03d}.png"), picture)
    monkeypatch.setattr(stages.run_stage, "__defaults__", (10,))
    mvcap.save_rig(synthetic.ring_rig(3, size=(64, 48)), tmp_path / "rig.yaml")
    session = mvcap.init(tmp_path / "take", tmp_path / "rig.yaml", tmp_path / "session", rate_hz=25.0)
    log = tmp_path / "log"
    name = f"{__name__}:Watcher"
    session.override({"estimator": name, "estimators": {name: {"log": str(log)}}, "estimate": {"every": every}})
    rows = mvcap.estimate(session).between(0, count)
    assert np.unique(rows.frame).tolist() == list(range(0, count, every))
    seen = sorted(json.loads(line) for line in log.read_text().splitlines())
    assert {(view, number): n for view, number, _, n, *_ in seen} == {
        (view, number): number + 1 for view in range(3) for number in range(7)
    }
    assert {tuple(one[4:]) for one in seen} == {(25.0 / every, 7)}
    means = {(view, frame): image.mean() for view in range(3) for frame, image in session.images(view)}
    assert all(abs(means[view, number * every] - mean) < 1e-2 for view, number, mean, *_ in seen)
