"""Poses carried along optical flow: moving textures whose flow is known, joints that are covered, people missed."""

import numpy as np
import pytest
from synthetic_take import COCO

from mvcap.estimation.flow_fusion import (
    CarriedJoints,
    FlowFrame,
    FlowWindow,
    dense_flow,
    follow_joints,
    fuse_rows,
    geometric_median,
    reduced_gray,
    sampled_flow,
)
from mvcap.structures.detections import Detections2D

SIZE = (200, 160)
STEP = np.array([3.0, -2.0])


def texture(seed=0, size=(300, 300)):
    """A gray texture (h, w) smooth enough to be followed."""
    import cv2

    noise = np.random.default_rng(seed).uniform(0, 255, (size[1] // 4, size[0] // 4)).astype(np.float32)
    return cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)


def picture(step):
    """An image (160, 200) of a texture that has moved by ``step`` px."""
    import cv2

    moved = cv2.warpAffine(texture(), np.array([[1, 0, step[0] - 50], [0, 1, step[1] - 50]], np.float64), SIZE)
    return np.clip(moved, 0, 255).astype(np.uint8)


def person(frame, step, ident=7, score=0.9, xy=None):
    """Row of a person of 17 joints who has moved by ``step`` px."""
    grid = np.stack([60 + 15.0 * (np.arange(17) % 5), 40 + 20.0 * (np.arange(17) // 5)], -1)
    place = grid + step if xy is None else xy
    return Detections2D.build(COCO, frame, 2, place[None], np.full((1, 17), score), 1.0, [ident])


def frames(count=5, missed=(), **how):
    """A moving texture with a person on it, who is not detected in the frames ``missed``."""
    rows = [Detections2D.empty(COCO) if at in missed else person(at, at * STEP, **how) for at in range(count)]
    return [FlowFrame(at, rows[at], picture(at * STEP), 1.0) for at in range(count)]


def window(shown, span=2):
    made = FlowWindow(span, 2)
    for one in shown:
        made.frames.append(one)
    return made


def test_flow_of_a_moving_texture_is_its_step():
    flow = dense_flow(picture((0, 0)), picture(STEP))
    inside = np.array([[60.0, 60.0], [120.0, 100.0]])
    assert sampled_flow(flow, inside) == pytest.approx(np.tile(STEP, (2, 1)), abs=0.3)
    outside = sampled_flow(flow, np.array([[-5.0, 10.0], [500.0, 10.0], [np.nan, 0.0]]))
    assert np.isnan(outside).all()


def test_a_large_image_is_reduced_and_its_scale_told():
    gray, scale = reduced_gray(np.zeros((1080, 1920, 3), np.uint8))
    assert gray.shape == (360, 640) and scale == 3
    assert reduced_gray(np.zeros((48, 64, 3), np.uint8))[1] == 1


def test_joints_follow_the_flow_and_their_noise_grows():
    a, b = picture((0, 0)), picture(STEP)
    xy = person(0, 0).xy.astype(float)
    moved, error = follow_joints(xy, np.array([60.0]), dense_flow(a, b), dense_flow(b, a), 1.0)
    assert np.abs(moved - xy - STEP).max() < 0.5 and (error >= 0.5).all() and error.max() < 2
    lost = follow_joints(xy, np.array([60.0]), dense_flow(a, b), np.zeros((160, 200, 2), np.float32), 1.0)
    assert np.isnan(lost[0]).all()  # going back leads elsewhere for all joints


def test_a_joint_without_sound_flow_moves_with_its_body():
    there = np.tile(STEP.astype(np.float32), (160, 200, 1))
    back = -there
    back[:70, :70] = 30  # something covers the first joint
    xy = person(0, 0).xy.astype(float)
    moved, error = follow_joints(xy, np.array([60.0]), there, back, 1.0)
    assert np.allclose(moved - xy, STEP, atol=1e-5)
    assert error[0, 0] > 2 * error[0, 16]


def test_the_geometric_median_leaves_an_outlier_out():
    xy = np.array([[0.0, 0], [1, 0], [0, 1], [100, 100]])[:, None]
    assert np.linalg.norm(geometric_median(xy, np.ones((4, 1)))[0]) < 1.5
    assert np.isnan(geometric_median(xy, np.zeros((4, 1)))).all()
    heavy = geometric_median(xy, np.array([0.1, 0.1, 0.1, 5.0])[:, None])
    assert heavy[0] == pytest.approx([100, 100], abs=1)


def test_a_joint_found_wrongly_with_a_low_score_is_put_right():
    shown = frames()
    rows = shown[2].rows
    xy, score = rows.xy.copy(), rows.score.copy()
    xy[0, 4] += 40
    score[0, 4] = 0.1
    noise = np.where(score == np.float32(0.1), 30.0, rows.noise_px)
    shown[2] = FlowFrame(2, rows.with_columns(xy=xy, score=score, noise_px=noise), shown[2].gray, 1.0)
    made = window(shown).fused(5)[2]
    truth = person(2, 2 * STEP).xy[0]
    assert np.linalg.norm(made.xy[0] - truth, axis=-1).max() < 2
    assert 0.1 < made.score[0, 4] < 0.9 and made.noise_px[0, 4] > made.noise_px[0, 3]
    assert np.array_equal(np.delete(made.score[0], 4), np.delete(rows.score[0], 4))  # sure joints keep their score


def test_a_missing_joint_is_filled_with_more_noise_and_a_lower_score():
    shown = frames()
    rows = shown[2].rows
    xy, score, noise = (getattr(rows, name).copy() for name in ("xy", "score", "noise_px"))
    xy[0, 4], score[0, 4], noise[0, 4] = np.nan, 0, np.nan
    shown[2] = FlowFrame(2, rows.with_columns(xy=xy, score=score, noise_px=noise), shown[2].gray, 1.0)
    made = window(shown).fused(5)[2]
    assert np.linalg.norm(made.xy[0, 4] - person(2, 2 * STEP).xy[0, 4]) < 1
    assert 0 < made.score[0, 4] < 0.6 and made.noise_px[0, 4] > rows.noise_px[0, 3]


@pytest.mark.parametrize(("missed", "there"), [((2,), True), ((1, 2, 3), False), ((0, 1), False)])
def test_a_person_missed_in_between_is_put_in(missed, there):
    made = window(frames(missed=missed), span=1 if len(missed) == 3 else 2).fused(5)[2 if 2 in missed else 1]
    assert len(made) == there
    if there:
        assert made.carried.tolist() == [7] and made.view.tolist() == [2] and made.frame.tolist() == [2]
        assert np.linalg.norm(made.xy[0] - person(2, 2 * STEP).xy[0], axis=-1).max() < 2
        assert (made.score < 0.6).all() and (made.score > 0.1).all()
        assert (made.noise_px > person(2, 0).noise_px).all()


def test_rows_without_an_id_are_as_they_were():
    shown = frames(ident=-1)
    for at, rows in enumerate(window(shown).fused(5)):
        for name, values in rows.arrays().items():
            assert np.array_equal(values, shown[at].rows.arrays()[name], equal_nan=True)


def test_a_window_given_piece_by_piece_and_saved_in_between_is_the_same_to_the_bit():
    shown = frames(8, missed=(3,))
    whole = window(shown).fused(8)
    out, state, span = [], {}, 2
    for at, one in enumerate(shown):
        piece = FlowWindow.of_state(state, span, 2, COCO)
        piece.add(one)
        out += piece.fused(at - span + 1)
        assert len(piece.frames) <= 2 * span + 1
        state = piece.state(COCO)
    out += FlowWindow.of_state(state, span, 2, COCO).fused(8)
    assert len(out) == 8
    for one, other in zip(whole, out, strict=True):
        for name, values in one.arrays().items():
            assert values.tobytes() == other.arrays()[name].tobytes(), name


def test_nothing_to_carry_changes_nothing():
    rows = person(0, 0)
    nobody = CarriedJoints(np.zeros(0, np.int64), np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 17)))
    assert fuse_rows(rows, []) is rows
    fused = fuse_rows(rows, [nobody])
    assert np.allclose(fused.xy, rows.xy, atol=1e-3) and np.array_equal(fused.score, rows.score)
    assert [len(made) for made in window([FlowFrame(0, Detections2D.empty(COCO), picture((0, 0)), 1.0)]).fused(1)] == [
        0
    ]
