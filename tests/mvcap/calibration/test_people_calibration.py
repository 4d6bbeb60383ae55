"""People as a target: their joints as observations, and which lenses and footage a calibration by them takes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from generated_boards import BOARD, Take, arc_rig, board_observations, carried
from generated_people import circle
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_rows import seen, told
from synthetic_take import COCO, make_session, ring_rig, write_clip

from calib import Camera, Rig
from calib.errors import RigMismatchError
from mvcap import stages
from mvcap.calibration.from_people import from_people
from mvcap.calibration.moments import find_moments
from mvcap.calibration.people_observations import people_observations
from mvcap.errors import InputError
from mvcap.progress import silent
from mvcap.structures.artefact import Origin
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session
from mvcap.triangulation.joint_observations import joint_observations

JOINTS, RATE_HZ = len(COCO), 25.0
seeds = st.integers(0, 2**32 - 1)


def rows_of(keys, seed=0):
    """Rows whose frame, view and person are given (M, 3), and whose places are all different."""
    keys = np.array(keys).reshape(-1, 3)
    rng, zero = np.random.default_rng(seed), np.zeros(len(keys))
    xy = rng.uniform(0, 500, (len(keys), JOINTS, 2))
    gone = rng.random((len(keys), JOINTS)) < 0.2
    xy[gone] = np.nan
    noise = np.where(gone, np.nan, rng.uniform(1, 4, gone.shape))
    return Detections2D(
        COCO, keys[:, 0], keys[:, 1], keys[:, 2], zero - 1, np.zeros((len(keys), 4)), xy, 0.9 * ~gone, noise
    )


# --- joints as observations ------------------------------------------------------------------------------------------


@given(seeds)
@settings(derandomize=True, max_examples=15, deadline=None)
def test_every_joint_is_where_its_view_frame_and_person_say(seed):
    rng = np.random.default_rng(seed)
    every = [(frame, view, person) for frame in range(6) for view in range(3) for person in (2, 5, 9)]
    keys = [key for key in every if rng.random() < 0.6] or every[:1]
    rows, rig = rows_of(keys, seed % 1000), ring_rig(3)
    found = joint_observations(rows, rig, RATE_HZ)
    frames = sorted({key[0] for key in keys})
    people = max(len({key[2] for key in keys if key[0] == frame}) for frame in frames)
    assert found.xy.shape == (3, len(frames), people * JOINTS, 2) and found.target.free
    assert found.seen.sum() == (rows.score > 0).sum(), "no joint is lost or doubled"
    xy, sigma = (of.reshape(3, len(frames), people, JOINTS, *of.shape[3:]) for of in (found.xy, found.sigma))
    held = {}
    for row, (frame, view, person) in enumerate(keys):
        at = view, frames.index(frame)
        same = [np.array_equal(one, rows.xy[row].astype(float), equal_nan=True) for one in xy[at]]
        [slot] = np.flatnonzero(same)
        np.testing.assert_array_equal(sigma[at][slot], rows.noise_px[row].astype(float))
        assert held.setdefault((frame, person), slot) == slot, "the same slot in every view"
    for (frame, person), slot in held.items():
        before = held.get((frames[frames.index(frame) - 1], person)) if frame != frames[0] else None
        assert before in (None, slot), "a person keeps the slot while seen"
    np.testing.assert_allclose(found.time_s[0], np.array(frames) / RATE_HZ)
    assert len(set(found.moments)) == len(frames) and found.views == rig.names


def test_frames_are_thinned_evenly():
    rows = rows_of([(frame, view, 0) for frame in range(30) for view in (0, 1)])
    few = joint_observations(rows, ring_rig(2), RATE_HZ, most=10)
    assert few.xy.shape[1] == 10 and few.time_s[0].tolist() == pytest.approx((np.arange(0, 30, 3) / RATE_HZ).tolist())
    assert joint_observations(rows, ring_rig(2), RATE_HZ, most=29).xy.shape[1] == 15


def test_no_rows_make_no_observations():
    with pytest.raises(InputError):
        joint_observations(Detections2D.empty(COCO), ring_rig(2), RATE_HZ)


def test_people_of_a_session_are_those_that_were_associated(tmp_path):
    session = make_session(tmp_path, 6, people=1, cameras=3)
    rows = rows_of([(frame, view, view - 1) for frame in range(6) for view in range(3)])
    place = session.artefact("associate", Detections2D)
    place.begin(Origin("associate", 1, {}, {}), "coco17", 6, stages.CHUNK_FRAMES)
    place.write(0, rows)
    place.finish()
    found, kind = people_observations(session, session.rig)
    assert kind.name == "coco17" and found.xy.shape == (3, 6, 2 * JOINTS, 2)
    assert not found.seen[0].any(), "the first view's rows are unassigned"
    assert people_observations(session, session.rig, most=2)[0].xy.shape[1] == 2


def test_observations_of_people_triangulate_to_their_joints():
    take = circle(2, 4, 4)
    truth, rig, _ = take
    found = joint_observations(told(seen(take)), rig, RATE_HZ)
    points = rig.triangulate(found.xy)
    truth = truth[np.lexsort((truth.person, truth.frame))]
    np.testing.assert_allclose(points, truth.xyz.reshape(4, -1, 3), atol=2e-3)


# --- which lenses and which footage ----------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """What the solver, which takes seconds, would be asked: (session, lenses, height, old rig)."""
    calls = []

    def solve(session, lenses, *, height_m, start, progress):
        calls.append((session, lenses, height_m, start))
        return "made"

    monkeypatch.setattr("mvcap.calibration.from_people.calibrate_from_people", solve)
    return calls


def test_a_session_brings_its_own_lenses(tmp_path, asked):
    session = make_session(tmp_path, 3, people=1, cameras=2)
    assert from_people(session, None, None, (), 1.8, silent) == "made"
    ((source, lenses, height_m, start),) = asked
    assert source is session and height_m == 1.8 and start is None
    assert [lens.name for lens in lenses] == list(session.names)
    assert session.artefact("estimate", Detections2D).complete, "people are looked for first"


def test_an_old_rig_brings_lenses_and_a_world(tmp_path, asked):
    session = make_session(tmp_path, 3, people=1, cameras=2)
    old = ring_rig(3)
    longer = replace(old[0].lens, K=old[0].lens.K * [[1.1], [1.1], [1]])
    old = Rig((old[2], Camera(longer, old[0].cam_from_world), old[1]))
    from_people(session, None, old, (), None, silent)
    ((_, lenses, _, start),) = asked
    assert start.names == session.names == tuple(lens.name for lens in lenses), (
        "in the session's order, others left out"
    )
    np.testing.assert_array_equal(lenses[0].K, longer.K)
    with pytest.raises(RigMismatchError):
        from_people(session, None, ring_rig(3).select(["cam1", "cam3"]), (), None, silent)


def test_photos_bring_lenses_and_videos_a_session(tmp_path, asked, monkeypatch):
    """Lenses are fitted to the photos of their own camera, whatever the order of the tables."""
    rig = arc_rig(2, 1, size=(64, 48))
    whole = board_observations(Take(rig, carried(BOARD, 1), BOARD, 2, 2.0))
    tables, fitted = [whole.of([name]) for name in ("cam02", "cam01")], []

    def fit(table, name):
        fitted.append((table.views, name))
        return SimpleNamespace(lens=rig[name].lens)

    monkeypatch.setattr("mvcap.calibration.from_people.fit_lens", fit)
    monkeypatch.setattr("mvcap.calibration.from_people.estimate", lambda session, progress: None)
    for name in rig.names:
        write_clip(tmp_path / "videos" / f"{name}.mp4", frames=4)
    material = find_moments(tmp_path / "videos")
    from_people(tmp_path / "session", material, None, tables, None, silent)
    ((session, lenses, _, start),) = asked
    assert fitted == [(("cam01",), "cam01"), (("cam02",), "cam02")] and start is None
    assert [lens.name for lens in lenses] == ["cam01", "cam02"]
    assert Session.open(tmp_path / "session").names == session.names == ("cam01", "cam02") and session.frames == 4
    with pytest.raises(InputError, match="cam01"):
        from_people(tmp_path / "other", material, None, tables[:1], None, silent)


def test_videos_without_lenses_are_refused(tmp_path, asked):
    for name in ("cam01", "cam02"):
        write_clip(tmp_path / "videos" / f"{name}.mp4", frames=4)
    with pytest.raises(InputError, match="--rig"):
        from_people(tmp_path / "session", find_moments(tmp_path / "videos"), None, (), None, silent)
    assert asked == [] and not (tmp_path / "session").exists()
