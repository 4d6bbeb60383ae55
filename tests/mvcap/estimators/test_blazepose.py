"""The estimator ``blazepose`` with tiny networks: ids over frames, how long a person is carried, and resumed states."""

import numpy as np
import pytest
from tiny_blazepose import JOINTS, person, write_detector, write_landmarker

from mvcap import assets
from mvcap.errors import ConfigError
from mvcap.estimators.blazepose import BlazePose, BlazePoseConfig
from mvcap.structures.contracts import View

SIZE = (640, 480)
VIEW = View(2, "left", SIZE, 20.0, 100)
EVERY = {"detect_every_s": 0.05}  # each frame of the view


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return {
        "blazepose-detector": write_detector(folder / "detector.tflite"),
        "blazepose-landmarks": write_landmarker(folder / "landmarks.tflite"),
    }


@pytest.fixture
def blazepose(files, monkeypatch):
    """Make the estimator on the tiny networks in place of the fetched ones."""
    monkeypatch.setattr(assets, "path", files.__getitem__)
    return lambda **settings: BlazePose(BlazePoseConfig(**{"mirror": False, **settings}))


def picture(*places, size=60):
    """An RGB picture of people whose hips are at these places."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for place in places:
        person(image, place, size)
    return image


def run(estimator, pictures, view=VIEW, state=None, first=0):
    """Rows of one picture after another, and the state at the end."""
    state, found = state or {}, []
    for frame, image in enumerate(pictures, first):
        estimate = estimator.estimate(image, frame, view, state)
        state = estimate.state
        found.append(estimate.rows)
    return found, state


def ids(found):
    """Ids of the people of each frame from left to right."""
    return [rows.carried[np.argsort(np.nanmean(rows.xy[..., 0], axis=1))].tolist() for rows in found]


ONE, OTHER = (160.0, 250.0), (460.0, 260.0)


def test_rows_are_of_the_people_in_the_picture(blazepose):
    (rows,), _ = run(blazepose(), [picture(ONE, OTHER)], first=7)
    assert len(rows) == 2 and rows.skeleton.joints == JOINTS
    assert (rows.frame == 7).all() and (rows.view == VIEW.index).all() and (rows.person == -1).all()
    rows = rows[np.argsort(rows.box[:, 0])]
    for row, place in enumerate((ONE, OTHER)):
        for side, sign in (("left", 1), ("right", -1)):
            joint = JOINTS.index(f"{side}_wrist")
            np.testing.assert_allclose(rows.xy[row, joint], (place[0] + sign * 36, place[1] - 24), atol=1.0)
    assert (rows.score > 0.9).all() and (rows.noise_px > 0).all()
    hips = JOINTS.index("left_hip")
    assert rows.metric.shape == (2, 33, 3) and np.isfinite(rows.metric).all()
    np.testing.assert_allclose(rows.metric[:, hips, :2], [[0.24, -0.16]] * 2, atol=0.01)  # the disc, of the crop's side


def test_ids_stay_with_people_who_move(blazepose):
    steps = range(8)
    pictures = [picture((ONE[0] + 6 * n, ONE[1]), (OTHER[0] - 5 * n, OTHER[1] + 3 * n)) for n in steps]
    found, state = run(blazepose(), pictures)
    assert ids(found) == [ids(found)[0]] * 8 and sorted(ids(found)[0]) == [0, 1]
    joint = JOINTS.index("left_knee")
    for n, rows in zip(steps, found, strict=True):
        place = np.sort(rows.xy[:, joint, 0])
        np.testing.assert_allclose(place, [ONE[0] + 6 * n + 36, OTHER[0] - 5 * n + 36], atol=1.0)
    assert sorted(state["ident"].tolist()) == [0, 1]


def test_people_who_come_are_found_at_the_next_search_only(blazepose):
    pictures = [picture(ONE)] * 2 + [picture(ONE, OTHER)] * 4
    found, _ = run(blazepose(detect_every_s=0.2), pictures)  # frames 0 and 4
    assert ids(found) == [[0], [0], [0], [0], [0, 1], [0, 1]]
    found, _ = run(blazepose(**EVERY), pictures)
    assert ids(found) == [[0], [0], [0, 1], [0, 1], [0, 1], [0, 1]]


def test_an_empty_view_is_searched_at_every_frame(blazepose):
    found, _ = run(blazepose(detect_every_s=10.0), [picture()] * 3 + [picture(ONE)] * 2)
    assert ids(found) == [[], [], [], [0], [0]]


@pytest.mark.parametrize("patience_s", [0.0, 0.1])
def test_a_person_who_leaves_is_carried_for_a_while_and_ids_are_not_reused(blazepose, patience_s):
    estimator = blazepose(patience_s=patience_s, **EVERY)
    found, state = run(estimator, [picture(ONE, OTHER), *[picture(OTHER)] * 4])
    stays = found[0].carried[np.argsort(found[0].box[:, 0])][1]
    kept = [len(rows) for rows in found[1:]]
    patience = round(patience_s * VIEW.rate_hz)
    assert kept == [2] * patience + [1] * (4 - patience)
    assert all(rows.score[rows.carried != stays].max() < 0.1 for rows in found[1 : 1 + patience])
    again, _ = run(estimator, [picture(ONE, OTHER)], state=state, first=5)
    assert sorted(again[0].carried.tolist()) == sorted([stays, 2])


def test_a_state_that_was_saved_goes_on_as_if_nothing_had_been(blazepose):
    pictures = [picture((ONE[0] + 9 * n, ONE[1]), OTHER) for n in range(6)]
    whole, end = run(blazepose(), pictures)
    _, state = run(blazepose(), pictures[:3])
    saved = {name: np.array(value.tolist(), value.dtype).reshape(value.shape) for name, value in state.items()}
    rest, other = run(blazepose(), pictures[3:], state=saved, first=3)  # another process: another estimator
    for one, two in zip(whole[3:], rest, strict=True):
        assert one.xy.tobytes() == two.xy.tobytes() and one.carried.tolist() == two.carried.tolist()
    assert end.keys() == other.keys() and all(np.array_equal(end[name], other[name]) for name in end)


def test_two_crops_on_one_body_become_the_older_one(blazepose):
    estimator = blazepose(detect_every_s=10.0)
    _, state = run(estimator, [picture(ONE)])
    twice = {
        "ident": np.array([4, 6]), "crop": state["crop"] + np.array([[0] * 4, [3, 2, 1, 4]]),
        "low": np.zeros(2, np.int64), "next_ident": np.array(7),
    }  # fmt: skip
    found, after = run(estimator, [picture(ONE)], state=twice, first=1)
    assert ids(found) == [[4]] and after["ident"].tolist() == [4] and int(after["next_ident"]) == 7


def test_a_carried_crop_that_lost_its_body_is_corrected_by_a_search(blazepose):
    estimator = blazepose(**EVERY)
    _, state = run(estimator, [picture(ONE)])
    wrong = {**state, "crop": state["crop"] + [[12, 5, 12, -30]]}
    (rows,), after = run(estimator, [picture(ONE)], state=wrong, first=1)
    assert rows.carried.tolist() == [0]
    np.testing.assert_allclose(after["crop"], state["crop"], atol=2)


def test_no_more_people_are_carried_than_asked(blazepose):
    found, _ = run(blazepose(people=1, **EVERY), [picture(ONE, OTHER)] * 2)
    assert [len(rows) for rows in found] == [1, 1] and ids(found)[0] == ids(found)[1]


def test_people_are_not_carried_over_long_gaps_between_frames(blazepose):
    slow = View(0, "left", SIZE, 2.0, 10)
    found, _ = run(blazepose(), [picture(ONE)] * 3, slow)
    assert ids(found) == [[0], [1], [2]]
    found, _ = run(blazepose(carry_s=1.0), [picture(ONE)] * 3, slow)
    assert ids(found) == [[0]] * 3


def test_people_below_the_presence_threshold_are_dropped(blazepose):
    pictures = [picture(ONE), picture(ONE, size=60)]
    found, _ = run(blazepose(presence_threshold=1.1), pictures)
    assert ids(found) == [[], []]  # no presence is as high
    assert ids(run(blazepose(presence_threshold=0.1), pictures)[0]) == [[0], [0]]


def test_a_pass_that_differs_makes_a_joint_noisier_but_not_without_end(blazepose, tmp_path, files, monkeypatch):
    (plain,), _ = run(blazepose(mirror=True), [picture(ONE)])
    noise = []
    for shift in (0.3, 20.0):
        file = write_landmarker(tmp_path / f"shift{shift}.tflite", shift_x=shift, sharp=False)
        monkeypatch.setattr(assets, "path", {**files, "blazepose-landmarks": file}.__getitem__)
        estimator = BlazePose(BlazePoseConfig(mirror=True, presence_threshold=0.0))
        (rows,), _ = run(estimator, [picture(ONE)])
        noise.append(rows.noise_px / rows.score / (plain.noise_px / plain.score))
    assert (noise[0] > 1.001).all() and (noise[0] < 1.3).all()
    np.testing.assert_allclose(noise[1], np.sqrt(2), rtol=0.05)  # at most the noise again


def test_masks_are_made_where_they_are_asked_for(blazepose):
    image = picture(ONE, OTHER)
    assert blazepose().estimate(image, 0, VIEW, {}).masks is None
    estimate = blazepose(masks=True).estimate(image, 0, VIEW, {})
    rows, masks = estimate.rows, estimate.masks
    assert masks.shape == image.shape[:2]
    for row in range(len(rows)):
        x, y = np.round(rows.xy[row, JOINTS.index("nose")]).astype(int)  # on the disc at the hips
        assert masks[y, x] == row + 1
    empty = blazepose(masks=True).estimate(picture(), 0, VIEW, {})
    assert not empty.masks.any() and len(empty.rows) == 0


def test_a_picture_is_needed_and_settings_have_limits(blazepose):
    with pytest.raises(ValueError, match="image"):
        blazepose().estimate(None, 0, VIEW, {})
    for wrong in ({"people": 0}, {"detect_every_s": -1.0}, {"patience_s": -0.1}):
        with pytest.raises(ConfigError):
            BlazePoseConfig(**wrong)


def test_the_identity_is_that_of_both_networks(blazepose):
    identity = blazepose().prepare((VIEW,))
    for name in ("blazepose-detector", "blazepose-landmarks"):
        assert name in identity and assets.ASSETS[name].sha256[:16] in identity
