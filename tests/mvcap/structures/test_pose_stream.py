"""Poses as exporters get them: dense blocks of any parts, in either axes, the same however the chunks are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking_take import COCO, chunked, poses, take

from mvcap.structures.pose_stream import Part, PoseStream, turn_axes
from mvcap.structures.poses import Poses3D, full_covariance, missing_joints, sigma_m

FRAMES = 20
TABLE = poses(FRAMES, missing=0.1, absent=lambda frame, person: frame in (0, 9) or (person == 2 and frame > 14))
DENSE = TABLE.dense(FRAMES, np.array([1, 2]))


def stream(chunks, frames=FRAMES, axes="z-up"):
    return PoseStream(COCO, lambda: iter(chunks), frames, 25.0, (1, 2), "walk", axes)


parts = st.lists(st.integers(0, FRAMES), min_size=2, max_size=6).map(sorted)


@settings(max_examples=40)
@given(parts, st.integers(1, FRAMES), st.sampled_from([(1, 2), (2, 1), (2,), (3, 1), ()]))
def test_blocks_are_dense_parts_whatever_the_chunks(edges, step, persons):
    wanted = [Part(start, stop, persons) for start, stop in zip(edges[::2], edges[1::2], strict=False)]
    found = list(take(TABLE, FRAMES, step).blocks(wanted))
    assert [block.part for block in found] == wanted and [block.start for block in found] == [p.start for p in wanted]
    whole = TABLE.dense(FRAMES, np.array(persons, int))
    for block in found:
        np.testing.assert_array_equal(block.xyz, whole[block.part.start : block.part.stop])
        missing = np.isnan(block.xyz).any(-1)
        assert ((block.score == 0) == missing).all() and ((block.views == 0) == missing).all()
        assert (np.isnan(block.error_px) == missing).all() and (np.isnan(block.sigma_m) == missing).all()


def test_every_column_of_a_block_is_that_of_its_row():
    [block] = take(TABLE, FRAMES).blocks([Part(0, FRAMES, (1, 2))])
    for frame, person, score, error, views, sigma, xyz in zip(
        TABLE.frame, TABLE.person, TABLE.score, TABLE.error_px, TABLE.views, sigma_m(TABLE), TABLE.xyz, strict=True
    ):
        at = (frame, person - 1)
        there = ~np.isnan(xyz).any(-1)
        for name, value in (("score", score), ("error_px", error), ("views", views), ("sigma_m", sigma)):
            np.testing.assert_array_equal(getattr(block, name)[at][there], value[there])


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(0, 25))
def test_cutting_covers_the_take_once(step, frames):
    cut = take(TABLE, frames).cut(step)
    assert [frame for part in cut for frame in range(part.start, part.stop)] == list(range(frames))
    assert all(part.persons == (1, 2) and part.stop - part.start <= step for part in cut)
    assert all(part.persons == (7,) for part in take(TABLE, frames).cut(step, [7]))


def test_a_person_can_be_read_again_and_again():
    walk = take(TABLE, FRAMES, step=3)
    for _ in range(2):
        for person in (1, 2):
            blocks = list(walk.person_blocks(person, frames=6))
            assert [block.xyz.shape[1] for block in blocks] == [1] * 4
            np.testing.assert_array_equal(np.concatenate([block.xyz for block in blocks])[:, 0], DENSE[:, person - 1])


@settings(max_examples=40)
@given(st.integers(0, 2**31))
def test_turning_axes_turns_places_and_covariances(seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = turn_axes(TABLE, rotation)
    np.testing.assert_allclose(turned.xyz, TABLE.xyz @ rotation.T, atol=1e-5)
    way = rng.normal(size=3)
    before = np.einsum("a,mjab,b->mj", way, full_covariance(TABLE.cov.astype(float)), way)
    after = np.einsum("a,mjab,b->mj", rotation @ way, full_covariance(turned.cov.astype(float)), rotation @ way)
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-10)
    np.testing.assert_allclose(sigma_m(turned), sigma_m(TABLE), rtol=1e-4)  # the mean of the axes stays


def test_y_up_is_a_quarter_turn_without_a_mirror():
    plain, turned = (
        Poses3D.concatenate(list(take(TABLE, FRAMES, axes=axes).turned()), COCO) for axes in ("z-up", "y-up")
    )
    np.testing.assert_array_equal(plain.xyz, TABLE.xyz)
    np.testing.assert_allclose(turned.xyz, np.stack([TABLE.xyz[..., 0], TABLE.xyz[..., 2], -TABLE.xyz[..., 1]], -1))
    for name in ("frame", "person", "score", "error_px", "views"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(TABLE, name))
    assert not (np.signbit(turned.xyz) & (turned.xyz == 0)).any()  # no minus nought in a file


def test_a_standard_deviation_is_the_root_of_the_mean_variance():
    cov = np.zeros((1, 17, 6))
    cov[..., [0, 3, 5]] = 1e-4, 4e-4, 7e-4
    cov[0, 1] = np.nan
    cov[0, 2, [0, 3, 5]] = -1.0
    xyz, score = np.ones((1, 17, 3)), np.ones((1, 17))
    xyz[0, 3], score[0, 3] = np.nan, 0
    sigma = sigma_m(TABLE[:1].with_columns(cov=cov, xyz=xyz, score=score))
    assert sigma[0, 0] == pytest.approx(0.02) and np.isnan(sigma[0, 1:4]).all() and np.isfinite(sigma[0, 4:]).all()


def test_a_joint_is_missing_where_any_number_of_it_is():
    xyz = np.zeros((2, 3, 3))
    xyz[0, 1, 2], xyz[1, 0] = np.nan, np.nan
    assert missing_joints(xyz).tolist() == [[False, True, False], [True, False, False]]


def test_chunks_that_are_out_of_order_overlap_or_reach_too_far_are_refused():
    whole = list(chunked(TABLE, FRAMES, 5))
    for chunks, frames in (([whole[1], whole[0]], FRAMES), ([whole[0], whole[0]], FRAMES), (whole, FRAMES - 6)):
        with pytest.raises(ValueError, match="order of frames"):
            list(stream(chunks, frames).person_blocks(1))
    empty = [Poses3D.empty(COCO)]
    [block] = stream([*empty, whole[0], *empty, *empty, *whole[1:], *empty]).person_blocks(1)
    np.testing.assert_array_equal(block.xyz[:, 0], DENSE[:, 0])


@pytest.mark.parametrize(
    "wrong", [{"rate_hz": 0.0}, {"rate_hz": -1.0}, {"rate_hz": np.nan}, {"frames": -1}, {"axes": "x-up"}]
)
def test_a_take_that_cannot_be_is_refused(wrong):
    held = {"frames": 3, "rate_hz": 25.0, "axes": "z-up", **wrong}
    with pytest.raises(ValueError):
        PoseStream(COCO, lambda: iter([]), held["frames"], held["rate_hz"], (), "walk", held["axes"])


def test_blocks_without_people_are_empty():
    [block] = stream([]).person_blocks(1)
    assert block.xyz.shape == (FRAMES, 1, 17, 3) and np.isnan(block.xyz).all() and not block.score.any()
    assert list(stream([], frames=0).person_blocks(1)) == []
