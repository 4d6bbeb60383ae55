"""A take of one view, from detections to poses, files and report: on arrays and in a session."""

import numpy as np
import pytest
from one_view_take import FRAMES, HIPS, RATE_HZ, absent, camera, session_of, settings, take

import mvcap
from mvcap import stages
from mvcap.errors import InputError, StaleError
from mvcap.structures.poses import Provenance, full_covariance
from mvcap.structures.session import Session


def rebuilt(rows, rig, frames=FRAMES, changes=None, **values):
    return mvcap.reconstruct_rows(
        rows, rig, rate_hz=RATE_HZ, frames=frames, overrides={**settings(**values), **(changes or {})}
    )


def errors(made, truth, frames=FRAMES):
    """Errors (T, P, J, 3) m of the people, each against the true one who is nearest."""
    found, true = made.dense(frames).astype(float), truth.dense(frames).astype(float)
    apart = [np.nanmean(np.linalg.norm(found[:, [p]] - true, axis=-1), axis=(0, 2)).argmin() for p in range(2)]
    assert sorted(apart) == [0, 1]
    return found - true[:, apart]


def test_people_are_where_they_are_and_the_covariance_says_how_well():
    truth, rows, rig = take()
    made = rebuilt(rows, rig)
    off, raw = errors(made, truth), errors(made.raw, truth)
    assert made.persons.tolist() == [1, 2] and (made.provenance == Provenance.MONOCULAR).all()
    assert np.linalg.norm(off, axis=-1).mean() < 0.75 * np.linalg.norm(raw, axis=-1).mean()
    centre = rig.positions[0]
    ray = made.xyz - centre
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    along = np.sqrt(np.einsum("mja,mjab,mjb->mj", ray, full_covariance(made.cov.astype(float)), ray))
    distance = np.linalg.norm(made.xyz - centre, axis=-1)
    np.testing.assert_allclose(np.median(along / distance), 0.06, atol=0.015)  # the scale that nobody knows


def test_a_wrong_scale_is_within_its_covariance_and_a_stature_corrects_it():
    truth, rows, rig = take()
    off = errors(rebuilt(rows, rig, scale=1.1, noise=0.1), truth)[:, :, HIPS]
    assert np.linalg.norm(off, axis=-1).mean() > 0.3
    plain = rebuilt(rows, rig, noise=0.1)
    sizes = {}
    for person in (1, 2):
        limbs = np.linalg.norm(np.diff(plain.of(person).xyz[:, plain.skeleton.limbs], axis=2)[:, :, 0], axis=-1)
        sizes[person] = np.median(limbs)
    known = {"one_view": {"heights_m": {1: 1.9}}}
    made = rebuilt(rows, rig, scale=1.1, noise=0.1, changes=known)
    again = rebuilt(rows, rig, scale=1.0, noise=0.1, changes=known)
    # With a stature the size that the lifter gives has no influence.
    np.testing.assert_allclose(made.of(1).xyz, again.of(1).xyz, atol=0.03)
    sigma = [np.sqrt(np.median(one.cov[..., [0, 3, 5]].sum(-1))) for one in (again.of(1), plain.of(1))]
    assert sigma[0] < 0.75 * sigma[1]
    np.testing.assert_allclose(again.of(2).xyz, plain.of(2).xyz)


def test_another_unit_of_pixels_changes_nothing():
    """Half the resolution: the same rays, and the same noise in angles."""
    _, rows, rig = take()
    lens = rig[0].lens.scaled(0.5)
    half = mvcap.Rig((mvcap.Camera(lens, rig[0].cam_from_world),))
    small = rows.with_columns(xy=(rows.xy + 0.5) / 2 - 0.5, noise_px=rows.noise_px / 2, box=rows.box / 2)
    a = rebuilt(rows, rig)
    b = rebuilt(small, half)
    np.testing.assert_array_equal(a.person, b.person)


def test_gaps_are_filled_and_long_ones_are_not():
    truth, rows, rig = take()
    gone = (rows.frame >= 20) & (rows.frame < 24)
    made = rebuilt(absent(rows, gone), rig)
    filled = made.of(frame=22)
    assert (filled.provenance[filled.score > 0] == Provenance.INTERPOLATED).all() and (filled.views == 0).all()
    assert np.linalg.norm(errors(made, truth)[22][np.isfinite(made.dense(FRAMES)[22]).all(-1)], axis=-1).max() < 0.4
    assert (rebuilt(rows[~((rows.frame >= 10) & (rows.frame < 40))], rig).frame != 25).all()


def test_few_frames_none_and_nobody():
    _, rows, rig = take()
    few = rebuilt(rows[rows.frame < 3], rig, frames=3, changes={"track": {"min_seconds": 0.0}})
    assert set(few.frame.tolist()) == {0, 1, 2} and np.isfinite(few.xyz).all()
    nothing = absent(rows, np.ones(len(rows), bool))
    assert len(rebuilt(nothing, rig)) == 0 and len(rebuilt(rows[:0], rig)) == 0
    with pytest.raises(InputError, match="no person 7; there are: 1, 2"):
        rebuilt(rows, rig, changes={"one_view": {"heights_m": {7: 1.8}}})


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = session_of(tmp_path_factory.mktemp("one"))
    mvcap.reconstruct(made)
    return made.folder


def test_a_session_gives_what_the_arrays_give(session):
    opened = Session.open(session)
    found = stages.detections(opened, "estimate").between(0, FRAMES)
    arrays = rebuilt(found, camera())
    poses = mvcap.load_poses(session / "poses.npz")
    for name, column in poses.arrays().items():
        np.testing.assert_array_equal(column, arrays.arrays()[name], err_msg=name)


def test_the_report_says_first_what_one_view_can_know(session):
    summary = mvcap.report(session)
    verdict = summary["verdict"]
    assert verdict["level"] == "limits"
    first = verdict["reasons"][0]
    assert first.startswith("one view: ") and "--height ID=1.78" in first and "assumed stature" in first
    share = summary["one_camera"]["depth_share"]
    assert f"depth is uncertain by {share:.0%}" in first and 0.05 < share < 0.08
    assert summary["one_camera"]["lens"]["source"] == "rig" and summary["one_camera"]["world"]["up"] == "rig"
    assert len(verdict["where_not"]) == 2 and "from 1 view," in (session / "report.html").read_text()
    assert {"above.svg", "side.svg", "scene.jpg"} <= {path.name for path in (session / "plots").iterdir()}
    assert (session / "exports").is_dir()


def test_running_again_changes_nothing_and_other_statures_are_asked_for(session):
    before = (session / "poses.npz").read_bytes()
    mvcap.reconstruct(session)
    assert (session / "poses.npz").read_bytes() == before
    opened = Session.open(session)
    held = opened.override({"one_view": {"heights_m": {"1": 1.9}}})
    with pytest.raises(StaleError, match=r"heights_m\.1 was None, now 1\.9.*--redo refine"):
        mvcap.refine(opened)
    opened.override({"one_view": {"heights_m": {"9": 1.9}}})
    with pytest.raises(InputError, match="no person 9"):
        mvcap.refine(opened, redo=True)
    assert stages.poses(opened, "refine").complete
    opened.keep_overrides(held)
