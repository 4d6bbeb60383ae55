import numpy as np
import pytest
from recorded_take import COCO, COLOURS, bent_rig, rendered
from synthetic_take import body

from calib import Camera
from calib.geometry import transform
from mvcap.datasets.body_volumes import RayGrid, body_volumes
from mvcap.datasets.clothing import GARMENTS, cloth_share, garment_masks, recoloured
from mvcap.datasets.cutouts import (
    Cutout,
    PictureRays,
    Placement,
    gap_m,
    mask_depth,
    nearest_known,
    same_floor_scale,
    upright_turn,
)

RIG = bent_rig(4, size=(640, 360))
XYZ = body(0.0, (0.0, 0.0, 0.7, 0.0, 1.2))


def cutout_of(view=0, xyz=XYZ):
    image, labels = rendered(RIG[view], xyz[None], view)
    return Cutout(RIG[view], COCO, xyz, np.ones(17, bool), image, labels == 1, ("take", RIG[view].name, 0, 1))


def drawn(camera, xyz):
    return rendered(camera, xyz[None])[1] == 1


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize(("view", "angle"), [(0, 0.0), (0, 0.35), (0, -0.3), (2, 0.1)])
def test_a_turned_picture_is_that_of_the_turned_person(view, angle):
    """Through lenses that distort: the moved mask is that of the moved body as the other camera would see it."""
    source, target = cutout_of(view), RIG[0]
    where = Placement(upright_turn(RIG[view], target, angle), 1.0)
    placed = PictureRays(target).place(source, where)
    xyz = where.world(source, target)
    assert overlap(placed.opacity > 0.5, drawn(target, xyz)) > (0.995 if angle == 0 and view == 0 else 0.93)
    seen = target.project(xyz)
    turned = transform(RIG[view].cam_from_world, XYZ) @ where.turn.T
    flat = turned[:, :2] / turned[:, 2:]
    np.testing.assert_allclose(seen, target.lens.distort(flat), atol=1e-9)  # the truth is exact
    inside = placed.opacity > 0.9
    assert np.abs(placed.image[inside].astype(int) / 255 - 0.75 * COLOURS[1] / 255).max() < 0.6


def test_vertical_stays_vertical():
    for view in range(4):
        turn = upright_turn(RIG[view], RIG[0], 0.7)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(turn @ RIG[view].cam_from_world[:3, 2], RIG[0].cam_from_world[:3, 2], atol=1e-12)
        where = Placement(turn, 1.0)
        source = cutout_of(view)
        moved = where.world(source, RIG[0])
        height = (moved[:, 2] - RIG[0].position[2]) - (XYZ[:, 2] - RIG[view].position[2])
        np.testing.assert_allclose(height, 0, atol=1e-9)  # as high below the camera as before
    upside_down = Camera(RIG[0].lens, RIG[0].cam_from_world @ np.diag([1.0, -1, -1, 1]))
    turn = upright_turn(upside_down, RIG[0], 0.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_scaling_about_the_camera_changes_no_picture():
    source = cutout_of()
    one, large = (PictureRays(RIG[0]).place(source, Placement(np.eye(3), scale)) for scale in (1.0, 1.2))
    np.testing.assert_array_equal(one.image, large.image)
    seen = np.isfinite(one.depth)
    np.testing.assert_allclose(large.depth[seen], 1.2 * one.depth[seen], rtol=1e-6)
    xyz = Placement(np.eye(3), 1.2).world(source, RIG[0])
    np.testing.assert_allclose(RIG[0].project(xyz), RIG[0].project(XYZ), atol=1e-9)
    length = np.linalg.norm(xyz[5] - xyz[11]) / np.linalg.norm(XYZ[5] - XYZ[11])
    assert length == pytest.approx(1.2)


def test_feet_stay_on_the_floor_of_a_lower_camera():
    lower = RIG[0].cam_from_world.copy()
    lower[:3, 3] += RIG[0].cam_from_world[:3, 2] * 0.5
    camera = Camera(RIG[0].lens, lower)
    assert camera.position[2] == pytest.approx(2.1)
    scale = same_floor_scale(RIG[0], camera, (0.0, 0.0))
    assert scale == pytest.approx(2.1 / 2.6)
    feet = XYZ.copy()
    feet[15:, 2] = 0.0
    placed = Placement(upright_turn(RIG[0], camera, 0.4), scale).world(cutout_of(xyz=feet), camera)
    np.testing.assert_allclose(placed[15:, 2], 0.0, atol=1e-9)


def test_depth_of_the_mask_is_that_of_the_body():
    source = cutout_of()
    depth = mask_depth(source)
    exact = RayGrid(RIG[0], 640).depth(body_volumes(RIG[0], COCO, XYZ[None]))[0][0]
    assert np.isfinite(depth[source.mask]).all()
    assert np.abs(depth[source.mask] - exact[source.mask]).max() < 0.02
    values = np.array([[np.inf, 1.0, np.inf, 4.0]], np.float32)
    assert nearest_known(values)[0, 0] == 1 and nearest_known(values)[0, 3] == 4
    assert np.isinf(nearest_known(np.full((2, 2), np.inf, np.float32))).all()


def test_bodies_at_one_place_have_no_gap():
    bodies = [body_volumes(RIG[0], COCO, np.add(XYZ, [dx, 0, 0])[None]) for dx in (0, 0.1, 0.9, 2.0)]
    gaps = [gap_m(bodies[0], other) for other in bodies]
    assert gaps[0] < gaps[1] < 0 < gaps[2] < gaps[3] and gaps[3] == pytest.approx(gaps[2] + 1.1, abs=0.15)


def test_garments_are_on_trunk_and_legs_and_keep_their_shading():
    source = cutout_of()
    masks = garment_masks(source)
    assert set(masks) == set(GARMENTS) and not (masks["top"] & masks["trousers"]).any()
    xy = RIG[0].project(XYZ)
    for garment, points in (("top", xy[[5, 6, 11, 12]].mean(0)), ("trousers", xy[[13, 15]].mean(0))):
        x, y = np.rint(points).astype(int)
        assert masks[garment][y, x]
    head = np.rint(xy[:5].mean(0)).astype(int)
    assert not any(mask[head[1], head[0]] for mask in masks.values())
    dyed = Cutout(**{**vars(source), "image": dressed(source, masks)})
    out = recoloured(dyed, np.random.default_rng(1))
    assert (out[~source.mask] == dyed.image[~source.mask]).all()
    bare = source.mask & ~masks["top"] & ~masks["trousers"]
    share = cloth_share(dyed, bare)
    assert share[bare].mean() < 0.1 and min(share[mask].mean() for mask in masks.values()) > 0.9
    assert (cloth_share(dyed, np.zeros_like(bare)) == 1).all()  # no skin can be seen
    assert np.abs(out[bare].astype(int) - dyed.image[bare]).mean() < 3
    for mask in masks.values():
        before, after = (image[mask] @ [0.299, 0.587, 0.114] for image in (dyed.image, out))
        assert np.corrcoef(before, after)[0, 1] > 0.9  # folds and shadows stay
        hue = lambda image, where=mask: np.median(image[where] / image[where].sum(-1, keepdims=True), 0)  # noqa: E731
        assert np.abs(hue(out) - hue(dyed.image)).max() > 0.02


def dressed(source, masks):
    """The picture with skin of one colour and clothes of two others, shaded by rows."""
    image = source.image.astype(float)
    shade = image[source.mask].sum(-1) / image[source.mask].sum(-1).mean()
    colours = np.broadcast_to([210.0, 160.0, 130.0], (*source.mask.shape, 3)).copy()
    colours[masks["top"]], colours[masks["trousers"]] = (90, 110, 150), (60, 130, 70)
    image[source.mask] = colours[source.mask] * shade[:, None]
    return np.clip(image, 0, 255).astype(np.uint8)
