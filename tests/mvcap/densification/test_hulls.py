"""Parts of the hull: carving of a sphere, connected pieces, normals, depth order and colours."""

import numpy as np
from capsule_people import circle_rig

from mvcap.densification.carving import carve, first_in_cells
from mvcap.densification.hull_points import in_large_pieces, smooth_normals
from mvcap.densification.silhouettes import silhouettes_of
from mvcap.densification.visibility import colours, visible

CENTRE, RADIUS = np.array([0.1, -0.1, 1.0]), 0.3


def sphere_labels(rig):
    found = []
    for camera in rig:
        x, y = np.meshgrid(np.arange(camera.size[0]), np.arange(camera.size[1]))
        origin, direction = camera.rays(np.stack([x, y], -1).reshape(-1, 2).astype(float))
        away = CENTRE - np.asarray(origin).reshape(-1, 3)[0]
        beside = np.linalg.norm(away - (direction @ away)[:, None] * direction, axis=-1)
        found.append((beside <= RADIUS).astype(np.uint8).reshape(y.shape))
    return found


def sphere_points(count=4000):
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return CENTRE + RADIUS * normals, normals


def test_a_sphere_is_carved():
    rig = circle_rig(9, size=(320, 240))
    outlines = silhouettes_of(0, sphere_labels(rig), rig, CENTRE[None], 0.02)
    made = carve(outlines, rig, CENTRE - 0.5, CENTRE + 0.5, 0.02)
    away = made.xyz - CENTRE
    far = np.linalg.norm(away, axis=-1)
    assert len(made.xyz) > 1500 and np.percentile(far, 5) > RADIUS - 0.02
    band = np.abs(away[:, 2]) < 0.15  # no view is above: the poles of the hull are pointed
    assert np.abs(far[band] - RADIUS).mean() < 0.015
    assert ((made.normals * away).sum(-1) / far)[band].mean() > 0.95


def test_nothing_is_carved_from_one_view_or_without_a_volume():
    rig = circle_rig(4, size=(320, 240))
    outlines = silhouettes_of(0, sphere_labels(rig), rig, CENTRE[None], 0.02)
    unknown = np.full(3, np.nan)
    assert not len(carve(outlines[:1], rig, CENTRE - 0.5, CENTRE + 0.5, 0.02).xyz)
    assert not len(carve(outlines, rig, unknown, unknown, 0.02).xyz)
    assert not len(carve(outlines, rig, CENTRE - 300, CENTRE + 300, 0.004).xyz)  # beyond the limit of memory


def test_small_pieces_are_left_out():
    body = sphere_points(3000)[0]
    speck = np.array([[2.0, 0.0, 0.0], [2.01, 0.0, 0.0]])
    kept = in_large_pieces(np.concatenate([body, speck]), 0.02)
    assert kept[:3000].mean() > 0.99 and not kept[3000:].any()
    assert len(in_large_pieces(np.zeros((0, 3)), 0.02)) == 0


def test_normals_are_smoothed_and_thin_things_keep_two_sides():
    xyz, normals = sphere_points()
    rough = normals + np.random.default_rng(1).normal(0, 0.3, normals.shape)
    rough /= np.linalg.norm(rough, axis=-1, keepdims=True)
    smooth = smooth_normals(xyz, rough, 0.03)
    assert (smooth * normals).sum(-1).mean() > (rough * normals).sum(-1).mean() + 0.02
    grid = np.stack(np.meshgrid(np.arange(0, 1, 0.02), np.arange(0, 1, 0.02), [0.0, 0.01]), -1).reshape(-1, 3)
    sides = np.where(grid[:, 2:] > 0, 1.0, -1.0) * [0, 0, 1]
    np.testing.assert_array_equal(smooth_normals(grid, sides, 0.03), sides)
    assert smooth_normals(np.zeros((0, 3)), np.zeros((0, 3)), 0.03).shape == (0, 3)


def test_a_view_sees_the_side_that_faces_it():
    rig = circle_rig(6, size=(320, 240))
    xyz, normals = sphere_points()
    seen, cosine, xy = visible(xyz, normals, rig, 0.015)
    assert (seen & (cosine < 0)).sum() == 0
    assert seen[cosine > 0.4].mean() > 0.97
    nearer = CENTRE + (rig.positions[0] - CENTRE) / 2  # a second sphere before the first camera hides the first one
    both = visible(np.concatenate([xyz, xyz - CENTRE + nearer]), np.tile(normals, (2, 1)), rig, 0.015)[0]
    assert both[0, len(xyz) :].sum() > 0.9 * seen[0].sum() and both[0, : len(xyz)].sum() < 0.1 * seen[0].sum()
    pictures = (*(np.full((240, 320, 3), 40 * view, np.uint8) for view in range(5)), None)
    rgb = colours(pictures, xy, seen, cosine)
    alone = seen[2] & (seen.sum(0) == 1)
    assert (rgb[alone] == 80).all() and rgb.shape == (len(xyz), 3)
    assert (colours((None,) * 6, xy, seen, cosine) == 128).all()


def test_first_in_cells():
    xyz = np.array([[0.0, 0, 0], [0.01, 0, 0], [0.2, 0, 0], [0.0, 0.01, 0]])
    assert first_in_cells(xyz, 0.1).tolist() == [0, 2] and len(first_in_cells(xyz[:0], 0.1)) == 0
