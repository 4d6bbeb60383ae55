"""The estimator ``people`` on frames of the demo footage: who is there, ids over frames, resumed states, odd images."""

from itertools import pairwise

import numpy as np
import pytest
from demo_people import needs, picture, pictures

from mvcap import assets
from mvcap.errors import ConfigError
from mvcap.estimation.body_finder import body_distance, body_extent
from mvcap.estimators.people import People, PeopleConfig
from mvcap.structures.contracts import View
from mvcap.structures.skeleton import SKELETONS

NETWORKS = ("movenet-multipose", "movenet-thunder", "movenet-lightning", "blazepose-landmarks")
COCO = SKELETONS["coco17"]
VIEW = View(1, "cam03", (1088, 1920), 20.0, 100)
LARGE = {"smallest": 0.3}
"""The people of the footage are large: one scale is enough."""
MODES = ("fast", "balanced", "best")


@pytest.fixture(scope="module")
def people():
    """Make the estimator; networks are loaded once for equal settings."""
    needs(*NETWORKS)
    made = {}

    def make(mode="fast", **settings):
        key = (mode, tuple(sorted(settings.items())))
        if key not in made:
            made[key] = People(PeopleConfig(mode=mode, **{**LARGE, **settings}))
        return made[key]

    return make


def run(estimator, images, view=VIEW, state=None, first=0):
    """Rows of one image after another, and the state at the end."""
    state, found = state or {}, []
    for frame, image in enumerate(images, first):
        estimate = estimator.estimate(image, frame, view, state)
        state = estimate.state
        found.append(estimate.rows)
    return found, state


def coco_of(rows):
    """Return COCO's joints (N, 17, 2) px of rows of either skeleton."""
    return rows.xy[:, [rows.skeleton.index(joint) for joint in COCO.joints]].astype(float)


def ids(found):
    """Ids of the people of each frame."""
    return [sorted(rows.carried.tolist()) for rows in found]


def black(size=(1920, 1088)):
    return np.zeros((*size, 3), np.uint8)


@pytest.fixture(scope="module")
def looked(people):
    """Rows of one frame by mode."""
    image = picture("cam03", 0)
    return {mode: run(people(mode), [image], first=7)[0][0] for mode in MODES}


# One image


def test_joints_are_those_of_the_mode():
    for mode, name in (("fast", "coco17"), ("balanced", "blazepose33"), ("best", "blazepose33")):
        assert People(PeopleConfig(mode=mode)).skeleton == SKELETONS[name]


@pytest.mark.footage
@pytest.mark.parametrize("mode", MODES)
def test_rows_are_of_the_people_in_the_image(looked, mode):
    rows = looked[mode]
    assert len(rows) == 2 and rows.skeleton == People(PeopleConfig(mode=mode)).skeleton
    assert (rows.frame == 7).all() and (rows.view == VIEW.index).all() and sorted(rows.carried.tolist()) == [0, 1]
    known = rows.score > 0
    assert (rows.score <= 1).all() and known.mean() > 0.9
    assert (rows.xy[known] > -0.5).all() and (rows.xy[known] < np.array(VIEW.size) - 0.5).all()
    noise = rows.noise_px / body_extent(coco_of(rows))[:, None]
    assert (noise[known] > 0.001).all() and np.median(noise[known]) < 0.05 and np.isnan(noise[~known]).all()
    boxes = np.concatenate([coco_of(rows).min(1), coco_of(rows).max(1)], -1)
    wanted = np.array([(180, 551, 333, 997), (516, 497, 783, 1265)])  # the woman and the man
    np.testing.assert_allclose(boxes[np.argsort(boxes[:, 0])], wanted, atol=30)


@pytest.mark.footage
def test_modes_agree_on_joints_and_sides(looked):
    wanted = coco_of(looked["best"])
    for mode in ("fast", "balanced"):
        for xy in coco_of(looked[mode]):
            apart = body_distance(xy, wanted)
            crossed = body_distance(xy[COCO.mirror], wanted[[apart.argmin()]])[0]
            assert apart.min() < 0.08 and crossed > 2 * apart.min()


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["balanced", "best"])
def test_hands_and_feet_are_at_their_wrists_and_ankles(looked, mode):
    rows = looked[mode]
    size = body_extent(coco_of(rows))
    for side in ("left", "right"):
        for end, parts in (("wrist", ("index", "pinky", "thumb")), ("ankle", ("heel",))):
            place = rows.xy[:, rows.skeleton.index(f"{side}_{end}")]
            for joint in [name for name in rows.skeleton.joints if name in {f"{side}_{part}" for part in parts}]:
                off = np.linalg.norm(rows.xy[:, rows.skeleton.index(joint)] - place, axis=-1)
                assert (off < 0.2 * size).all(), joint


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_images_without_people_have_none(people, mode):
    for image in (black((240, 320)), np.full((300, 200, 3), 255, np.uint8)):
        (rows,), state = run(people(mode), [image])
        assert len(rows) == 0 and rows.skeleton == people(mode).skeleton and len(state["ident"]) == 0


@pytest.mark.footage
@pytest.mark.parametrize("size", [(1, 1), (20, 30), (2, 900), (900, 2), (31, 33)])
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_images_of_any_size_are_looked_at(people, size, mode):
    random = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found, _ = run(people(mode, threshold=0.0, detector_threshold=0.0), [random, random])  # whatever it is
    for rows in found:
        known = rows.score > 0
        assert np.isfinite(rows.xy).all() and np.isfinite(rows.noise_px[known]).all()
        assert (rows.xy[known] > -0.5).all() and (rows.xy[known] < np.array(size[::-1]) - 0.5).all()


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_people_cut_by_the_border_are_found_where_they_are_seen(people, looked, mode):
    """The woman without her legs, and the man without his right half."""
    wanted = coco_of(looked[mode])
    order = wanted.mean(1)[:, 0].argsort()
    for person, (left, top, right, bottom) in zip(order, ((0, 400, 480, 790), (440, 400, 660, 1400)), strict=True):
        whole = wanted[person]
        image = np.ascontiguousarray(picture("cam03", 0)[top:bottom, left:right])
        (rows,), _ = run(people(mode), [image])
        assert len(rows) >= 1
        found = coco_of(rows) + np.array([left, top])
        score = rows.score[:, [rows.skeleton.index(joint) for joint in COCO.joints]]
        inside = ((whole > (left, top)) & (whole < (right - 10, bottom - 10))).all(-1)
        off = np.median(np.linalg.norm(found - whole, axis=-1)[:, inside], axis=1)
        outside = ((whole < (left, top)) | (whole > (right + 20, bottom + 20))).any(-1)
        assert inside.sum() >= 5 and outside.sum() >= 3 and off.min() < 0.05 * body_extent(whole)
        assert np.median(score[off.argmin(), outside]) < 0.3 < np.median(score[off.argmin(), inside])


# Over time


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_ids_stay_with_their_people(people, mode):
    images = pictures("cam03", 0, 5)
    found, state = run(people(mode), images)
    assert ids(found) == [[0, 1]] * 5 and sorted(state["ident"].tolist()) == [0, 1]
    for before, after in pairwise(found):
        order = [after.carried.tolist().index(ident) for ident in before.carried.tolist()]
        one, other = coco_of(before), coco_of(after)[order]
        assert all(body_distance(one[i], other[[i]])[0] < 0.2 for i in range(2))


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_a_state_that_was_saved_goes_on_as_if_nothing_had_been(people, mode):
    images = pictures("cam03", 0, 4)
    whole, end = run(people(mode), images)
    _, state = run(people(mode), images[:2])
    before = {name: value.copy() for name, value in state.items()}
    saved = {name: np.array(value.tolist(), value.dtype).reshape(value.shape) for name, value in state.items()}
    again = People(PeopleConfig(mode=mode, **LARGE))  # another process: another estimator
    rest, other = run(again, images[2:], state=saved, first=2)
    for one, two in zip(whole[2:], rest, strict=True):
        for name in ("xy", "score", "noise_px", "carried"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    assert end.keys() == other.keys() and all(np.array_equal(end[name], other[name]) for name in end)
    assert all(np.array_equal(saved[name], before[name]) for name in before)  # states are not written to


@pytest.mark.footage
def test_people_who_are_covered_for_a_moment_keep_their_ids_and_later_get_new_ones(people):
    one = picture("cam03", 0)
    for patience_s, wanted in ((0.5, [0, 1]), (0.05, [2, 3])):
        found, _ = run(people(patience_s=patience_s, detect_every_s=0.0), [one, black(), black(), black(), one])
        assert ids(found) == [[0, 1], [], [], [], wanted]


@pytest.mark.footage
def test_people_who_come_are_found_at_the_next_search(people):
    one = picture("cam03", 0)
    estimator = people(detect_every_s=0.15)  # frames 0, 3, 6
    found, _ = run(estimator, [black(), one, one, one])
    assert ids(found) == [[], [], [], [0, 1]]
    found, _ = run(people(detect_every_s=0.0), [black(), one])
    assert ids(found) == [[], [0, 1]]


@pytest.mark.footage
def test_dropped_frames_do_not_put_a_search_off(people):
    one = picture("cam03", 0)
    estimator, state, shown = people(detect_every_s=0.15), {}, []
    for frame, image in ((1, black()), (4, one), (7, one)):  # never a multiple of the interval of 3
        estimate = estimator.estimate(image, frame, VIEW, state)
        state, shown = estimate.state, [*shown, len(estimate.rows)]
    assert shown == [0, 2, 2]


@pytest.mark.footage
def test_no_more_people_are_followed_than_asked(people):
    found, state = run(people(people=1), [picture("cam03", 0)] * 2)
    assert ids(found) == [[0], [0]] and len(state["ident"]) == 1


@pytest.mark.footage
def test_at_a_low_rate_every_image_is_searched(people):
    slow = View(0, "cam", VIEW.size, 2.0, 10)
    images = [picture("cam03", 0), picture("cam02", 0), picture("cam03", 0)]
    found, _ = run(people(), images, slow)
    assert ids(found) == [[0, 1], [2, 3], [4, 5]]
    assert found[0].xy.tobytes() == found[2].xy.tobytes()  # nothing is left of the image between them
    kept, _ = run(people(carry_s=1.0), [images[0], images[0]], slow)
    assert ids(kept) == [[0, 1], [0, 1]]


# Masks


@pytest.mark.footage
def test_masks_label_the_rows_in_their_order(people):
    image = picture("cam03", 0)
    assert people("balanced").estimate(image, 0, VIEW, {}).masks is None
    estimator = people("balanced", masks=True)
    estimate = estimator.estimate(image, 0, VIEW, {})
    rows, masks = estimate.rows, estimate.masks
    assert masks.shape == image.shape[:2] and masks.dtype == np.uint8 and set(np.unique(masks)) == {0, 1, 2}
    parts = [COCO.index(name) for name in ("left_hip", "right_hip", "left_shoulder", "right_shoulder")]
    right = []
    for row, xy in enumerate(coco_of(rows)):
        corners = xy[parts]
        inner = np.round(0.7 * corners + 0.3 * corners.mean(0)).astype(int)
        right += (masks[inner[:, 1], inner[:, 0]] == row + 1).tolist()
    assert np.mean(right) >= 0.75
    empty = estimator.estimate(black((100, 120)), 0, VIEW, {})
    assert len(empty.rows) == 0 and empty.masks.shape == (100, 120) and not empty.masks.any()


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "slow"}, {"people": 0}, {"threads": 0}, {"detect_every_s": -1.0}, {"patience_s": -0.1},
        {"noise": 0.0}, {"smallest": 0.0}, {"smallest": 1.5}, {"smallest": float("nan")}, {"device": "abacus"},
        {"mode": "fast", "masks": True}, {"noise": float("nan")}, {"detect_every_s": float("nan")},
        {"patience_s": float("inf")}, {"carry_s": float("nan")}, {"threshold": float("nan")},
        {"detector_threshold": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_settings_have_limits(wrong):
    with pytest.raises(ConfigError) as caught:
        PeopleConfig(**wrong)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("people: ")


@pytest.mark.footage
def test_an_image_is_needed(people):
    with pytest.raises(ValueError, match="image"):
        people().estimate(None, 0, VIEW, {})


@pytest.mark.footage
def test_the_noise_is_scaled_by_its_setting(people, looked):
    (rows,), _ = run(people(noise=2.0), [picture("cam03", 0)], first=7)
    np.testing.assert_allclose(rows.noise_px, 2 * looked["fast"].noise_px, rtol=1e-5)
    assert rows.xy.tobytes() == looked["fast"].xy.tobytes()


@pytest.mark.footage
def test_the_identity_is_that_of_the_networks_of_the_mode(people):
    found = {mode: people(mode).prepare((VIEW,)) for mode in MODES}
    assert len(set(found.values())) == 3 and all("\n" not in identity for identity in found.values())
    assert "movenet-multipose" in found["fast"] and "movenet-thunder" not in found["fast"]
    for mode in ("balanced", "best"):
        assert assets.ASSETS["blazepose-landmarks"].sha256[:16] in found[mode] and "movenet-thunder" in found[mode]
