"""The verb ``refine``: one length for each limb of a person over the take, and windows that meet without a seam."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest

import mvcap
from mvcap import stages
from mvcap.errors import ConfigError
from mvcap.plugins import Evidence
from mvcap.refine import RefineConfig, person_limbs
from mvcap.refiners.bones import Bones, BonesConfig
from mvcap.structures.body import limb_lengths, limb_prior, mirror_limbs, typical_limbs
from mvcap.structures.poses import Poses3D, Provenance, packed_covariance
from tests.synthetic_take import COCO, RATE_HZ, body, make_session

verb = sys.modules["mvcap.refine"]  # the package's own name for it is the function
CIRCLE = (0.0, 0.0, 1.2, 0.3, 0.8)
FRAMES = 130


@dataclass
class Chunks:
    """Stands for an artefact of poses."""

    poses: Poses3D
    skeleton_name: str = "coco17"

    def chunks(self):
        for start in range(0, len(self.poses), 100):
            yield self.poses[start : start + 100]


def take(sigma_m=0.01, frames=600, seed=0):
    """Poses of one person with noise (J,) or a number, m."""
    sigma = np.broadcast_to(sigma_m, len(COCO)).astype(float)
    rng = np.random.default_rng(seed)
    xyz = np.stack([body(frame / RATE_HZ, CIRCLE) for frame in range(frames)])
    noisy = xyz + rng.normal(size=xyz.shape) * sigma[:, None]
    shape, ones = xyz.shape[:2], np.ones(frames)
    cov = np.broadcast_to(packed_covariance(np.eye(3) * sigma[:, None, None] ** 2), (*shape, 6))
    flat = np.ones(shape)
    return Poses3D(COCO, np.arange(frames), ones, ones, noisy, flat, flat, 2 * flat, cov, flat), limb_lengths(
        COCO, xyz
    )[0]


def blank(poses, joints):
    gone = np.isin(np.arange(len(COCO)), joints)
    return poses.with_columns(
        xyz=np.where(gone[:, None], np.nan, poses.xyz),
        score=np.where(gone, 0, poses.score),
        cov=np.where(gone[:, None], np.nan, poses.cov),
        provenance=np.where(gone, Provenance.MISSING, poses.provenance),
    )


def test_limbs_that_are_seen_well_are_as_long_as_they_are():
    poses, true = take()
    assert person_limbs(Chunks(poses), RATE_HZ)[1] == pytest.approx(true, rel=0.015)


def test_a_limb_never_seen_is_as_long_as_on_the_other_side():
    poses, true = take()
    found = person_limbs(Chunks(blank(poses, [COCO.index("left_wrist")])), RATE_HZ)[1]
    assert found == pytest.approx(true, rel=0.015)


def test_a_limb_seen_badly_leans_on_the_other_side():
    sigma = np.full(len(COCO), 0.005)
    sigma[COCO.index("left_ankle")] = 0.15
    poses, true = take(sigma, frames=60)
    found = person_limbs(Chunks(poses), RATE_HZ)[1]
    assert found == pytest.approx(true, rel=0.06)


def test_a_person_without_limbs_has_none():
    poses, _ = take(frames=20)
    found = person_limbs(Chunks(blank(poses, np.unique(COCO.limbs))), RATE_HZ)[1]
    assert np.isnan(found).all()


def test_limbs_of_which_nothing_is_known_are_as_usual():
    _, true = take(frames=1)
    usual, share = limb_prior(COCO, np.full(len(true), np.nan))
    assert usual == pytest.approx(typical_limbs(COCO)) and (share > 0.2).all()
    known = np.where(np.arange(len(true)) == 0, np.nan, true)
    length, share = limb_prior(COCO, known)
    assert length[0] == true[mirror_limbs(COCO)[0]] and 0.01 < share[0] < 0.05 and (share[1:] == 0).all()


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
        assert spread[1] < 0.25 * spread[0]
    assert set(np.unique(refined.provenance)) <= set(map(int, Provenance))


def test_the_verb_gives_the_refiner_what_the_views_saw(session):
    tracked, found = stages.poses(session, "track"), stages.detections(session, "associate")
    poses = next(tracked.chunks())
    mine = poses[poses.person == 1]
    evidence = Evidence(
        session.rig, verb._rows_of(mine, next(found.chunks())), session.rate_hz, person_limbs(tracked, RATE_HZ)[1]
    )
    assert set(evidence.rows.view.tolist()) == set(range(len(session.rig)))
    assert len(Bones(BonesConfig()).refine(mine, evidence)) >= len(mine)


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
