"""The verb ``refine``: windows that meet without a seam, and what the refiner is told."""

import sys

import numpy as np
import pytest
from synthetic_take import COCO, RATE_HZ, make_session

import mvcap
from mvcap import stages
from mvcap.errors import ConfigError
from mvcap.refine import RefineConfig
from mvcap.refinement.limb_lengths import person_limbs
from mvcap.refiners.bones import Bones, BonesConfig
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D, Provenance
from mvcap.triangulation.calibration_error import excess_error_px
from mvcap.triangulation.reprojection_residuals import linked_rows

verb = sys.modules["mvcap.refine"]  # the package's own name for it is the function
FRAMES = 130


def test_overlap_is_not_negative():
    with pytest.raises(ConfigError, match="overlap_s"):
        RefineConfig(overlap_s=-1)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A take of two people, tracked."""
    session = make_session(tmp_path_factory.mktemp("refine"), FRAMES, people=2, cameras=4)
    for stage in (mvcap.estimate, mvcap.associate, mvcap.triangulate, mvcap.track):
        stage(session)
    return session


def test_windows_meet_without_a_seam(session, monkeypatch):
    whole = all_rows(mvcap.refine(session, redo=True))
    monkeypatch.setattr(verb, "_CHUNK_FRAMES", 45)
    pieces = all_rows(mvcap.refine(session, redo=True))
    assert np.array_equal(whole.frame, pieces.frame) and np.array_equal(whole.person, pieces.person)
    apart = 1000 * np.linalg.norm(whole.xyz - pieces.xyz, axis=-1)
    assert np.nanmean(apart) < 0.5 and np.nanpercentile(apart, 99) < 2.5
    for person in np.unique(pieces.person):
        mine = pieces[pieces.person == person]
        jump = 1000 * np.linalg.norm(np.diff(mine.xyz, 2, axis=0), axis=-1).mean(-1)
        seams = np.isin(mine.frame[1:-1], [44, 45, 89, 90])
        assert jump[seams].mean() < 1.5 * jump[~seams].mean()


def test_the_whole_take_has_one_length_for_each_limb(session):
    refined = all_rows(mvcap.refine(session, redo=True))
    raw = all_rows(stages.poses(session, "track"))
    for person in np.unique(refined.person):
        spread = [
            np.nanstd(limb_lengths(COCO, rows.xyz[rows.person == person]), axis=0).mean() for rows in (raw, refined)
        ]
        assert spread[1] < 0.3 * spread[0]
    assert set(np.unique(refined.provenance)) <= set(map(int, Provenance))


def test_the_verb_gives_the_refiner_what_the_views_saw(session):
    tracked, found = stages.poses(session, "track"), stages.detections(session, "associate")
    poses = next(tracked.chunks())
    mine = poses[poses.person == 1]
    limbs = person_limbs(tracked, RATE_HZ)[1]
    rows = next(found.chunks())
    evidence = Evidence(session.rig, rows[linked_rows(rows, mine)[0]], session.rate_hz, limbs.length_m, limbs.sigma)
    assert set(evidence.rows.view.tolist()) == set(range(len(session.rig)))
    assert len(Bones(BonesConfig()).refine(mine, evidence)) >= len(mine)


def test_a_calibration_is_wrong_only_beyond_the_noise(session):
    seen = next(stages.detections(session, "associate").chunks())
    noise = float(np.nanmedian(seen.noise_px))
    found = excess_error_px(noise * np.array([0.0, 0.3, 3.0, 3.0]), seen[seen.view < 3]) / noise
    assert found == pytest.approx([0.0, 0.0, np.sqrt(8), 3.0], abs=0.01)


@pytest.mark.parametrize("name", ["butterworth", "one_euro", "hampel"])
def test_any_refiner_can_be_named(session, name):
    session.override({"refiner": name})
    try:
        rows = all_rows(mvcap.refine(session, redo=True))
    finally:
        session.override({"refiner": "bones"})
        stages.discard(session, "refine")
    assert len(rows) == len(all_rows(stages.poses(session, "track")))


def all_rows(artefact):
    return Poses3D.concatenate(list(artefact.chunks()), COCO)
