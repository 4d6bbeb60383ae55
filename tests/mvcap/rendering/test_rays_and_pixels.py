"""Rays, pictures and truth of pixels: a lens' distortion is exact, depth, part and flow agree with geometry."""

import importlib.util

import numpy as np
import pytest
from ray_casters import needs_rays
from rendered_box import SIZE, MovingBox, camera_at, empty_room

from calib.boards import board_from
from calib.geometry import pose, rotation_from_vector
from mvcap.errors import InputError
from mvcap.rendering import camera_rays, noise_textures, pixel_files, ray_casting
from mvcap.rendering.board_path import board_path
from mvcap.rendering.camera_sensor import Sensor
from mvcap.rendering.moving_meshes import carried_board
from mvcap.rendering.view_renderer import Shutter, ViewRenderer

pytestmark = needs_rays
CLEAN = Sensor(full_well=np.inf, read_noise=0.0, defocus_px=0.0)
STILL = Shutter(0.0)


def test_rays_go_through_their_pixels():
    camera = camera_at()
    rays = camera_rays.camera_rays(camera)
    xy = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1)
    assert np.abs(camera.project(rays.origin + 3.0 * rays.centre) - xy).max() < 1e-3
    off = camera.project(rays.origin + 2.0 * rays.places) - xy
    assert np.abs(off - camera_rays.places_in_pixel(4)[:, None, None]).max() < 1e-3


@pytest.mark.parametrize("samples", [1, 4, 16])
def test_places_in_a_pixel_are_one_in_each_column_and_row(samples):
    places = camera_rays.places_in_pixel(samples)
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    assert np.sort(places[:, 0]) == pytest.approx(steps) and np.sort(places[:, 1]) == pytest.approx(steps)


@pytest.fixture(params=["open3d", "embreex"])
def caster(request, monkeypatch):
    """Rays by one of the packages."""
    pytest.importorskip(request.param, reason=f"needs {request.param}")
    if request.param == "embreex":
        there = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "open3d" else there(name))


def test_hits_are_where_the_triangle_is(caster):
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    scene = ray_casting.RayScene((corners, np.array([[0, 1, 2]])))
    hits = scene.first_hits(np.array([0.2, 0.3, 2.0]), np.array([[0.0, 0, -1], [0, 0, 1]]))
    assert hits.distance[0] == pytest.approx(2.0) and np.isinf(hits.distance[1])
    assert hits.mesh.tolist() == [0, -1] and hits.normal[0] == pytest.approx([0, 0, 1])
    assert hits.share[0] @ corners == pytest.approx([0.2, 0.3, 0.0], abs=1e-6)
    ways = np.array([[0.0, 0, -3], [0, 0, -1]])
    assert scene.blocked(np.tile([0.2, 0.3, 2.0], (2, 1)), ways).tolist() == [True, False]
    assert scene.blocked(np.tile([0.2, 0.3, 2.0], (2, 1)), ways, 0.5).tolist() == [False, False]
    assert scene.blocked(np.tile([0.2, 0.3, 0.0], (2, 1)), ways).tolist() == [False, False]  # from the surface itself


def test_corners_of_a_rendered_grid_are_where_the_lens_puts_them():
    import cv2

    camera = camera_at(size=(480, 360), focal=330.0)
    board = board_from("chessboard:9x6:150mm")
    facing = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]) @ rotation_from_vector(np.array([0.1, 0.1, 0.2]))
    place = pose(facing, np.array([1.2, 0, 1.1]) - facing @ np.array([*board.target.points[:, :2].mean(0), 0]))
    renderer = ViewRenderer(empty_room(), carried_board(board, lambda time_s: place), camera, samples=16)
    sensor = Sensor(full_well=np.inf, read_noise=0.0, defocus_px=0.8)
    light = renderer.light(0.0, STILL)
    picture = sensor.picture(light, sensor.gain(renderer.empty_light()), np.random.default_rng(0))
    true = camera.project(board.target.points @ place[:3, :3].T + place[:3, 3])
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    begin = np.ascontiguousarray(true[:, None] + 0.4, np.float32)
    found = cv2.cornerSubPix(grey, begin, (5, 5), (-1, -1), stop)[:, 0]
    error = found - true
    assert np.linalg.norm(error.mean(0)) < 0.02
    assert np.median(np.linalg.norm(error, axis=1)) < 0.05


def test_depth_person_part_and_normal_are_those_of_the_box():
    box, camera = MovingBox(), camera_at()
    truth = ViewRenderer(empty_room(), box, camera).truth(0.0, 0.1, STILL)
    mine = truth.person == 1
    assert 300 < mine.sum() < 4000
    rays = camera.rays(np.argwhere(mine)[:, ::-1].astype(float))
    reach = (0.25 - rays[0][0]) / rays[1][:, 0]  # the side x = +0.25 is the only one in view, but for slivers
    front = truth.part[mine] == 2
    assert front.mean() > 0.85
    assert truth.normal[mine][front] == pytest.approx(np.tile([1, 0, 0], (front.sum(), 1)), abs=1e-5)
    depth = (rays[0] + reach[:, None] * rays[1] - camera.position) @ camera.cam_from_world[2, :3]
    assert truth.depth[mine][front] == pytest.approx(depth[front], abs=1e-4)
    behind = truth.depth[~mine & (truth.depth > 0)]
    assert behind.min() > 0.5 and np.isfinite(truth.depth).all()


def test_flow_is_what_projection_says():
    box, camera = MovingBox(velocity=(0.3, 1.0, -0.4)), camera_at()
    truth = ViewRenderer(empty_room(), box, camera).truth(0.0, 0.1, STILL)
    at = np.argwhere(truth.person == 1)[::7]
    xy = at[:, ::-1].astype(float)
    origin, ray = camera.rays(xy)
    forward = camera.cam_from_world[2, :3]
    points = origin + (truth.depth[at[:, 0], at[:, 1]] / (ray @ forward))[:, None] * ray
    assert truth.flow[at[:, 0], at[:, 1]] == pytest.approx(camera.project(points + 0.1 * box.velocity) - xy, abs=2e-3)
    assert not truth.flow[truth.person == 0].any()


def test_motion_blurs_and_a_rolling_shutter_shears():
    camera, room = camera_at(distortion=(0.0,) * 5), empty_room()
    sharp = ViewRenderer(room, MovingBox(velocity=(0, 12.0, 0)), camera)
    truth = sharp.truth(0.0, 0.1, Shutter(0.0, 0.04))
    middles = [np.flatnonzero(row).mean() for row in truth.person if row.sum() > 10]
    px_a_row = 12.0 * 0.04 / SIZE[1] * 110.0 / 2.75
    slope = np.polyfit(np.arange(len(middles)), middles, 1)[0]
    assert slope == pytest.approx(px_a_row, rel=0.1)
    still, moved = (sharp.light(0.0, Shutter(exposure)) for exposure in (0.0, 0.01))
    rows = np.flatnonzero((truth.person == 1).sum(1) > 10)[2:-2]
    edge = [np.abs(np.diff((one - sharp.empty_light())[rows].sum(-1), axis=1)).max() for one in (still, moved)]
    assert edge[1] < 0.75 * edge[0]
    assert moved.mean() == pytest.approx(still.mean(), rel=0.02)


def test_what_moves_casts_a_soft_shadow_on_the_floor():
    camera = camera_at(position=(3.0, 0.0, 1.8), size=(320, 240), focal=220.0)
    renderer = ViewRenderer(empty_room(), MovingBox(start=(0, 0, 0.6)), camera)
    import cv2

    box = cv2.dilate(renderer.truth(0.0, 0.1, STILL).person, np.ones((3, 3), np.uint8))
    change = (renderer.light(0.0, STILL) / np.maximum(renderer.empty_light(), 1e-6))[box == 0].mean(-1)
    assert change.min() < 0.82 and (change < 1.02).all()
    assert ((change > 0.85) & (change < 0.98)).sum() > 30  # a penumbra, no edge


def test_pictures_repeat_and_sensors_add_noise():
    camera, room = camera_at(), empty_room()
    made = [ViewRenderer(room, MovingBox(), camera).light(0.0, Shutter(0.004)) for _ in range(2)]
    assert np.array_equal(*made)
    sensor = Sensor(full_well=4000.0, read_noise=20.0, defocus_px=0.0)
    flat = np.full((60, 60, 3), 0.2, np.float32)
    seen = noise_textures.linear_light(sensor.picture(flat, 1.0, np.random.default_rng(1)) / 255)
    assert seen.mean() == pytest.approx(0.2, rel=0.02)
    assert seen.std() == pytest.approx(np.sqrt(0.2 / 4000 + (20 / 4000) ** 2), rel=0.1)
    assert Sensor(exposure=2.0).gain(flat) == pytest.approx(2 * Sensor().gain(flat))
    assert CLEAN.picture(flat, 1.0, np.random.default_rng(1)).std() == 0


def test_a_board_is_shown_to_all_sides():
    board = board_from("charuco:5x4:200mm:150mm:DICT_4X4_50")
    path = board_path(board, np.array([0.0, 0, 1.1]), np.array([2.0, 2, 1]), seed=1)
    poses = np.stack([path(time_s) for time_s in np.arange(0, 16, 0.25)])
    front = -poses[:, :2, 2]
    angles = np.sort(np.arctan2(front[:, 1], front[:, 0]))
    assert np.diff(angles).max() < np.deg2rad(40)
    middle = poses[:, :3, :3] @ np.array([*0.5 * np.ptp(board.target.points, axis=0)[:2], 0]) + poses[:, :3, 3]
    assert (np.abs(middle - (0, 0, 1.1)) < (1.3, 1.3, 0.8)).all()


def test_files_of_pixels_hold_what_was_rendered(tmp_path):
    import cv2

    truth = ViewRenderer(empty_room(), MovingBox(velocity=(0, 1, 0)), camera_at()).truth(0.0, 0.1, STILL)
    pixel_files.write_pixels(tmp_path / "0.npz", truth)
    pixel_files.write_depth(tmp_path / "0.png", truth.depth)
    with np.load(tmp_path / "0.npz") as held:
        assert np.array_equal(held["person"], truth.person) and np.array_equal(held["depth"], truth.depth)
        assert held["flow"] == pytest.approx(truth.flow, abs=0.02)
    steps = cv2.imread(str(tmp_path / "0.png"), cv2.IMREAD_UNCHANGED)
    assert steps.dtype == np.uint16
    assert steps * pixel_files.DEPTH_SCALE_M == pytest.approx(truth.depth, abs=0.51 * pixel_files.DEPTH_SCALE_M)
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be written"):
        pixel_files.write_depth(tmp_path / "file" / "0.png", truth.depth)


def test_a_lens_without_inverse_is_refused():
    broken = camera_at(size=(16, 12), distortion=(-8000.0, 0.0, 0.0, 0.0, 0.0), focal=2.0)
    with pytest.raises(InputError, match="no inverse"):
        camera_rays.camera_rays(broken)


def test_noise_is_smooth_and_colours_convert_back():
    line = np.linspace(0, 3, 4000)
    noise = noise_textures.smooth_noise(np.stack([line, 0 * line, 0 * line], -1), 0.1, 3, 1)
    assert 0 <= noise.min() < 0.3 and 0.7 < noise.max() <= 1 and np.abs(np.diff(noise)).max() < 0.01
    tones = np.linspace(0, 1, 50)
    assert noise_textures.screen_colour(noise_textures.linear_light(tones)) == pytest.approx(tones, abs=1e-6)
    colour = noise_textures.random_colour(np.random.default_rng(0), (0, 0), (0.5, 0.5))
    assert colour == pytest.approx(noise_textures.linear_light(np.full(3, 0.5)))
