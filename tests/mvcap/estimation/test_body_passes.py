"""One body by several passes: stable against the crop, of the image's scale, told from its neighbour, and its noise."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from demo_people import needs, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap import assets
from mvcap.estimation.body_finder import body_distance, body_extent
from mvcap.estimation.body_passes import PASSES, Body, BodyReader, joint_noise, skeleton_of
from mvcap.estimation.converted_networks import converted_network
from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.structures.skeleton import SKELETONS

COCO = SKELETONS["coco17"]
BOXES = np.array([[(180, 551), (333, 997)], [(516, 497), (783, 1265)]], float)
"""The woman and the man in the first frame of cam03."""


@pytest.fixture(scope="module")
def readers():
    """Make readers; each mode once."""
    needs("movenet-thunder", "movenet-lightning", "blazepose-landmarks")
    models = {name: converted_network(f"movenet-{name}") for name in ("thunder", "lightning")}
    models["full"] = assets.path("blazepose-landmarks")
    made = {}
    return lambda mode: made.get(mode) or made.setdefault(mode, BodyReader(mode, models, 1, "cpu"))


def rough(box):
    """Return joints (17, 2) px that fill a box: all that a crop needs to know."""
    share = np.linspace(0, 1, 17)
    return box[0] + np.stack([share[::-1], share], -1) * (box[1] - box[0])


def read(reader, image, near, *more):
    reader.look_at(image if isinstance(image, ImagePyramid) else ImagePyramid(image))
    return reader(near, *more)


def off(one, other):
    """Return the median distance of the joints of two bodies as a share of their extent."""
    return float(body_distance(one.coco, other.coco[None])[0]) / 3


def test_every_mode_has_a_movenet_and_its_joints():
    for mode, passes in PASSES.items():
        networks = [network for network, _ in passes]
        assert networks[0] in ("thunder", "lightning") and len(set(passes)) == len(passes)
        assert skeleton_of(mode) == SKELETONS["blazepose33" if "full" in networks else "coco17"]


# Real networks


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
@pytest.mark.parametrize("person", [0, 1])
def test_a_body_does_not_depend_on_the_crop_or_the_scale(readers, mode, person):
    image, box = picture("cam03", 0), BOXES[person]
    body = read(readers(mode), image, rough(box))
    assert body.quality > 0.5 and (np.abs(np.stack([body.coco.min(0), body.coco.max(0)]) - box) < 30).all()
    assert body.xy.shape == (len(skeleton_of(mode)), 2) and body.coco.shape == (17, 2)
    assert (body.agreement > 0).all() and (body.agreement <= 1).all() and (body.spread_px >= 0).all()
    size = box[1].max() - box[0].min()
    for change in (0.1 * size, -0.08 * size):
        other = read(readers(mode), image, rough(box + np.array([change, -0.3 * change])))
        assert off(body, other) < 0.02
    assert off(body, read(readers(mode), image, rough(box + np.array([[-40], [40]])))) < 0.02
    assert off(body, read(readers(mode), image, body.coco)) < 0.02
    half = read(readers(mode), cv2.resize(image, (544, 960), interpolation=cv2.INTER_AREA), rough(box / 2))
    assert off(body, replace(half, coco=2 * half.coco + 0.5)) < 0.02


@pytest.mark.footage
def test_a_body_keeps_its_sides_in_a_mirrored_image(readers):
    image = picture("cam03", 0)
    body = read(readers("balanced"), image, rough(BOXES[1]))
    mirrored = read(readers("balanced"), np.ascontiguousarray(image[:, ::-1]), [1087, 0] + [-1, 1] * body.coco)
    back = np.stack([1087 - mirrored.coco[:, 0], mirrored.coco[:, 1]], -1)
    kept, exchanged = (body_distance(xy, body.coco[None])[0] for xy in (back[COCO.mirror], back))
    assert kept < 0.1 and exchanged > 2 * kept


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_where_nobody_is_there_is_no_body(readers, mode):
    for image in (np.zeros((300, 400, 3), np.uint8), np.full((300, 400, 3), 255, np.uint8)):
        body = read(readers(mode), image, rough(np.array([[100.0, 50], [200, 250]])))
        assert body.quality < 0.2 and np.isfinite(body.xy).all() and np.isfinite(joint_noise(body, mode)).all()


@pytest.mark.footage
@pytest.mark.parametrize("mode", ["fast", "balanced"])
def test_crops_of_any_kind_are_read(readers, mode):
    """A point, a line, far outside, larger than the image."""
    image = picture("cam03", 0)
    for box in (
        [[50, 50], [50, 50]],
        [[0, 700], [1000, 700]],
        [[-9000, 0], [-8000, 99]],
        [[-5000, -5000], [9000, 9000]],
    ):
        body = read(readers(mode), image, rough(np.array(box, float)))
        inside = ((body.xy > -0.5) & (body.xy < (1087.5, 1919.5))).all(-1)
        assert np.isfinite(body.xy).all() and (body.score[~inside] == 0).all() and 0 <= body.quality <= 1


@pytest.mark.footage
def test_of_two_people_side_by_side_each_stays_itself(readers):
    image = ImagePyramid(picture("cam03", 0))
    one, other = (read(readers("balanced"), image, rough(box)) for box in BOXES)
    assert off(one, read(readers("balanced"), image, one.coco, np.zeros((0, 17, 2)))) < 0.02
    for mine, rival in ((one, other), (other, one)):
        again = read(readers("balanced"), image, mine.coco, rival.coco[None])
        assert off(mine, again) < 0.03 < off(rival, again)


# Noise


@st.composite
def bodies(draw):
    """A body of a mode, of any size, with any scores; and the mode."""
    mode = draw(st.sampled_from(sorted(PASSES)))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    count = len(skeleton_of(mode))
    size = 10 ** draw(st.floats(1.3, 3))
    xy, coco = (size * random.uniform(0, 1, (joints, 2)) for joints in (count, 17))
    spread, agreement = size * random.uniform(0, 0.05, count), random.uniform(0.1, 1, count)
    return mode, Body(xy, random.uniform(0, 1, count), spread, agreement, 0.5, coco, None)


@settings(max_examples=60)
@given(bodies(), st.floats(1.01, 20))
def test_noise_grows_with_the_body_and_the_spread_and_falls_with_the_score(case, factor):
    mode, body = case
    noise = joint_noise(body, mode)
    size = float(body_extent(body.coco))
    assert noise.shape == body.score.shape and (noise > 1e-4 * size).all() and (noise < 10 * size).all()
    larger = replace(body, xy=factor * body.xy, coco=factor * body.coco, spread_px=factor * body.spread_px)
    np.testing.assert_allclose(joint_noise(larger, mode), factor * noise, rtol=1e-9)
    assert (joint_noise(replace(body, spread_px=factor * body.spread_px), mode) >= noise).all()
    assert (joint_noise(replace(body, score=body.score / factor), mode) >= noise).all()
