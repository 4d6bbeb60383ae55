"""Limbs of a person over the take: one length for each, and how constant it stays."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from synthetic_take import COCO, RATE_HZ, body

from mvcap.refinement.limb_lengths import person_limbs
from mvcap.structures.anthropometry import limb_lengths, limb_prior, mirror_limbs, typical_limbs
from mvcap.structures.poses import Poses3D, Provenance, packed_covariance
from mvcap.structures.skeleton import Skeleton

CIRCLE = (0.0, 0.0, 1.2, 0.3, 0.8)


@dataclass
class Chunks:
    """Stands for an artefact of poses."""

    poses: Poses3D
    skeleton: Skeleton = field(default_factory=lambda: COCO)

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
    assert person_limbs(Chunks(poses), RATE_HZ)[1].length_m == pytest.approx(true, rel=0.015)


def test_a_limb_never_seen_is_as_long_as_on_the_other_side():
    poses, true = take()
    found = person_limbs(Chunks(blank(poses, [COCO.index("left_wrist")])), RATE_HZ)[1].length_m
    assert found == pytest.approx(true, rel=0.015)


def test_a_limb_seen_badly_leans_on_the_other_side():
    sigma = np.full(len(COCO), 0.005)
    sigma[COCO.index("left_ankle")] = 0.15
    poses, true = take(sigma, frames=60)
    found = person_limbs(Chunks(poses), RATE_HZ)[1].length_m
    assert found == pytest.approx(true, rel=0.06)


def test_a_person_without_limbs_has_none():
    poses, _ = take(frames=20)
    found = person_limbs(Chunks(blank(poses, np.unique(COCO.limbs))), RATE_HZ)[1]
    assert np.isnan(found.length_m).all() and (found.sigma == 0).all()


def test_limbs_of_which_nothing_is_known_are_as_usual():
    _, true = take(frames=1)
    usual, share = limb_prior(COCO, np.full(len(true), np.nan))
    assert usual == pytest.approx(typical_limbs(COCO)) and (share > 0.2).all()
    known = np.where(np.arange(len(true)) == 0, np.nan, true)
    length, share = limb_prior(COCO, known)
    assert length[0] == true[mirror_limbs(COCO)[0]] and 0.01 < share[0] < 0.05 and (share[1:] == 0).all()


def longer(poses, xyz, joint, share):
    """The poses with the limb below a joint longer by shares (T,), what hangs on it moved along."""
    upper, lower = COCO.index(f"left_{joint}"), COCO.index({"elbow": "left_wrist", "knee": "left_ankle"}[joint])
    moved = poses.xyz.copy()
    moved[:, lower] += share[:, None] * (xyz[:, lower] - xyz[:, upper])
    return poses.with_columns(xyz=moved)


def test_a_limb_is_as_constant_as_it_shows_beyond_the_noise():
    poses, _ = take(0.008)
    xyz = np.stack([body(frame / RATE_HZ, CIRCLE) for frame in range(600)])
    forearm = [set(pair) for pair in COCO.limbs.tolist()].index({COCO.index("left_elbow"), COCO.index("left_wrist")})
    still = person_limbs(Chunks(poses), RATE_HZ)[1].sigma
    assert still.max() < 0.01
    varied = longer(poses, xyz, "elbow", 0.1 * np.sqrt(2) * np.sin(np.arange(600) / 11))
    sigma = person_limbs(Chunks(varied), RATE_HZ)[1].sigma
    assert sigma[forearm] == pytest.approx(0.1, abs=0.03)
    assert np.delete(sigma, forearm).max() < 0.01
    wild = longer(poses, xyz, "elbow", np.random.default_rng(0).uniform(-0.9, 3, 600))
    assert person_limbs(Chunks(wild), RATE_HZ)[1].sigma[forearm] == pytest.approx(0.2)
    rare = longer(poses, xyz, "elbow", np.where(np.arange(600) % 50 == 0, 2.0, 0.0))
    assert person_limbs(Chunks(rare), RATE_HZ)[1].sigma[forearm] < 0.015


def test_of_a_moment_little_is_known():
    poses, _ = take(0.03, frames=1)
    limbs = person_limbs(Chunks(poses), 0.05)[1]
    assert (limbs.sigma > 0.01).all() and (limbs.sigma <= 0.2).all()
