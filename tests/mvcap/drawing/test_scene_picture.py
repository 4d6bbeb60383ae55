"""Pictures of scenes: what is where in them, what hides what, and videos of a take in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, poses, rig, take

from mvcap.drawing import scene_picture as drawn
from mvcap.drawing.scene_picture import person_tint, scene_picture
from mvcap.drawing.scene_video import scene_moments, scene_pictures, scene_video
from mvcap.drawing.viewpoints import CAMERA_PATHS, Viewpoint, people_box, viewpoint_on
from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

pytest.importorskip("cv2")
SIZE = (640, 360)
TABLE = poses(50, missing=0.0)
NOW = TABLE[TABLE.frame == 10]
BOX = people_box([TABLE])


def near(image, place, tint, reach=2, tolerance=30):
    """Whether a colour is within so many pixels of a place."""
    x, y = np.rint(place[:2]).astype(int)
    patch = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].reshape(-1, 3).astype(int)
    return bool(len(patch)) and np.abs(patch - tint).sum(1).min() <= tolerance


def test_a_viewpoint_projects_as_a_camera_does():
    view = Viewpoint(np.array([0.0, -5.0, 1.0]), np.array([0.0, 0.0, 1.0]), field_deg=90.0)
    places = view.project(np.array([[0, 0, 1], [1, 0, 1], [0, 0, 2], [0, -6, 1.0]]), (201, 101))
    np.testing.assert_allclose(places[:3], [[100, 50, 5], [110.1, 50, 5], [100, 39.9, 5]], atol=1e-9)
    assert np.isnan(places[3]).all()  # behind the eye
    above = Viewpoint(np.array([0.0, 0.0, 9.0]), np.zeros(3))
    np.testing.assert_allclose(above.axes, [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-12)


@pytest.mark.parametrize("camera_path", CAMERA_PATHS)
@pytest.mark.parametrize("size", [(640, 360), (300, 500)])
def test_every_path_has_everybody_in_the_picture(camera_path, size):
    corners = np.array([BOX[[a, b, c], [0, 1, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    for share in (0.0, 0.3, 0.9):
        seen = viewpoint_on(camera_path, BOX, share, size).project(corners, size)
        assert ((seen[:, :2] > 0) & (seen[:, :2] < size)).all()
        extent = (np.abs(seen[:, :2] - np.array(size) / 2) / (np.array(size) / 2)).max()
        assert extent > (0.5 if camera_path == "orbit" else 0.75)  # and not as dots


def test_the_paths_go_where_their_names_say():
    front, side, top = (viewpoint_on(name, BOX) for name in ("front", "side", "top"))
    assert front.eye[1] < BOX[0, 1] and side.eye[0] > BOX[1, 0] and top.axes[2].tolist() == pytest.approx([0, 0, -1])
    turn = [viewpoint_on("orbit", BOX, share) for share in (0.0, 0.25, 0.5, 1.0)]
    away = [view.eye - view.target for view in turn]
    np.testing.assert_allclose([np.linalg.norm(one) for one in away], np.linalg.norm(away[0]), rtol=1e-9)
    np.testing.assert_allclose(away[2][:2], -away[0][:2], atol=1e-9)
    np.testing.assert_allclose(turn[3].eye, turn[0].eye, atol=1e-9)
    assert abs(np.dot(away[1][:2], away[0][:2])) < 1e-9
    with pytest.raises(InputError, match="unknown camera path 'spiral'; available: front"):
        viewpoint_on("spiral", BOX)


def test_the_view_from_above_has_the_cameras_in_it():
    seen = viewpoint_on("top", BOX, 0.0, SIZE, rig()).project(rig().positions, SIZE)
    assert ((seen[:, :2] > 0) & (seen[:, :2] < SIZE)).all()


def test_the_box_ignores_what_is_far_off():
    xyz = TABLE.xyz.copy()
    xyz[3, 0] = [80, 80, 80]
    wild = people_box([TABLE.with_columns(xyz=xyz)])
    assert (np.abs(wild - BOX) < 0.2).all()
    np.testing.assert_allclose(people_box([]), [[-1.25, -1.25, 0], [1.25, 1.25, 2.05]])


@pytest.mark.parametrize("camera_path", ["front", "side", "top"])
def test_people_are_drawn_in_their_colours_where_they_project_to(camera_path):
    view = viewpoint_on(camera_path, BOX, 0.0, SIZE)
    for row, person in enumerate(NOW.person.tolist()):
        alone = NOW[row : row + 1]
        image = scene_picture(alone, viewpoint=view, size=SIZE, box=BOX)
        assert image.shape == (360, 640, 3) and image.dtype == np.uint8
        for joint in ("left_ankle", "right_knee", "left_hip"):
            place = view.project(alone.xyz[0, COCO.index(joint)], SIZE)
            assert near(image, place, person_tint(person)), joint


def test_the_nearer_person_hides_the_other():
    xyz = np.concatenate([NOW.xyz[:1], NOW.xyz[:1]]).astype(float)
    view = viewpoint_on("front", BOX, 0.0, SIZE)
    xyz[1] = view.eye + 0.8 * (xyz[1] - view.eye)  # the same outline, nearer to the eye
    for front_first in (True, False):
        order = [1, 0] if front_first else [0, 1]
        two = Poses3D.from_dense(xyz[None, order], COCO, [order[0] + 1, order[1] + 1])
        image = scene_picture(two, viewpoint=view, size=SIZE, labels=False)
        knee = view.project(xyz[1, COCO.index("left_knee")], SIZE)
        assert near(image, knee, person_tint(2), reach=1) and not near(image, knee, person_tint(1), reach=1)


def test_missing_joints_are_not_drawn_and_lone_ones_are_dots():
    view = viewpoint_on("front", BOX, 0.0, SIZE)
    empty = scene_picture(NOW[:0], viewpoint=view, size=SIZE, box=BOX)
    xyz = np.full((1, 1, 17, 3), np.nan)
    np.testing.assert_array_equal(scene_picture(Poses3D.empty(COCO), viewpoint=view, size=SIZE, box=BOX), empty)
    place = NOW.xyz[0, COCO.index("left_wrist")].astype(float)
    xyz[0, 0, COCO.index("left_wrist")] = place
    image = scene_picture(Poses3D.from_dense(xyz, COCO), viewpoint=view, size=SIZE, box=BOX, labels=False)
    bare = scene_picture(NOW[:0], viewpoint=view, size=SIZE, box=BOX, labels=False)
    changed = np.argwhere((image != bare).any(-1))[:, ::-1]
    assert near(image, view.project(place, SIZE), person_tint(1))
    assert np.abs(changed - view.project(place, SIZE)[:2]).max() < 12


def test_the_floor_is_at_z_0_with_lines_at_metres():
    view = viewpoint_on("top", np.array([[-2, -2, 0], [2, 2, 1.8]]), 0.0, SIZE)
    image = scene_picture(NOW[:0], viewpoint=view, size=SIZE, box=np.array([[-2, -2, 0], [2, 2, 1.8]]), labels=False)
    bright = image.astype(int).sum(-1) - sum(drawn._BACKGROUND)

    def brightest(x, y):
        u, v = np.rint(view.project(np.array([x, y, 0.0]), SIZE)[:2]).astype(int)
        return bright[v, u - 1 : u + 2].max()

    assert brightest(-0.5, 0.5) == brightest(0.5, 0.5) == 0
    assert brightest(0, 0.5) > brightest(1, 0.5) > 30 < brightest(-1, 0.5)


def test_cameras_are_drawn_where_they_stand():
    wide = viewpoint_on("top", BOX, 0.0, SIZE, rig())
    with_rig = scene_picture(NOW[:0], rig(), viewpoint=wide, size=SIZE, box=BOX, labels=False)
    without = scene_picture(NOW[:0], viewpoint=wide, size=SIZE, box=BOX, labels=False)
    changed = (with_rig != without).any(-1)
    for position in rig().positions:
        x, y = np.rint(wide.project(position, SIZE)[:2]).astype(int)
        assert changed[y - 2 : y + 3, x - 2 : x + 3].any()
    named = scene_picture(NOW[:0], rig(), viewpoint=wide, size=SIZE, box=BOX)
    assert (named != with_rig).any()


def test_the_nearest_point_of_a_cloud_is_seen_and_skeletons_stay_visible():
    view = viewpoint_on("front", BOX, 0.0, SIZE)
    far = np.array([0.0, 0.0, 1.2])
    xyz = np.stack([view.eye + 0.6 * (far - view.eye), far, view.eye - (far - view.eye)])  # near, far, behind the eye
    rgb = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250]], np.uint8)
    for order in ([0, 1, 2], [2, 1, 0]):
        image = scene_picture(NOW[:0], viewpoint=view, size=SIZE, cloud=(xyz[order], rgb[order]), box=BOX)
        assert near(image, view.project(far, SIZE), rgb[0], tolerance=0)
        assert not (image == rgb[1]).all(-1).any() and not (image == rgb[2]).all(-1).any()
    knee = NOW.xyz[0, COCO.index("left_knee")][None].astype(float)
    image = scene_picture(NOW[:1], viewpoint=view, size=SIZE, cloud=(knee, rgb[:1]), box=BOX)
    assert near(image, view.project(knee[0], SIZE), person_tint(int(NOW.person[0])))
    bare = scene_picture(NOW[:1], viewpoint=view, size=SIZE, box=BOX, labels=False)
    among = scene_picture(NOW[:1], viewpoint=view, size=SIZE, cloud=(knee, rgb[:1]), box=BOX, labels=False)
    tint = np.array(person_tint(int(NOW.person[0])))
    thick, thin = (int((np.abs(one.astype(int) - tint).sum(-1) < 40).sum()) for one in (bare, among))
    assert 0 < thin < 0.8 * thick  # so that the points around are seen
    for bad in ((xyz, rgb[:2]), (xyz[:, :2], rgb), (xyz, rgb.astype(float))):
        with pytest.raises(ValueError, match="a cloud is"):
            scene_picture(NOW, viewpoint=view, size=SIZE, cloud=bad)


def test_wild_numbers_do_no_harm():
    xyz = NOW.xyz[None].astype(float).copy()
    xyz[0, 0] *= 1e7
    box = np.array([[-3e6, -2, -5], [3e6, 2, 900.0]])
    for path in CAMERA_PATHS:
        image = scene_picture(
            Poses3D.from_dense(xyz, COCO), rig(), viewpoint=viewpoint_on(path, box, 0.4, SIZE), size=SIZE, box=box
        )
        assert image.shape == (360, 640, 3)
    inside = Viewpoint(np.array([0.0, 0.0, 1.0]), NOW.xyz[0, COCO.index("left_hip")].astype(float))  # among the people
    assert (scene_picture(NOW, rig(), viewpoint=inside, size=SIZE) != drawn._BACKGROUND).any()
    with pytest.raises(ValueError, match="at least 16"):
        scene_picture(NOW, viewpoint=inside, size=(8, 8))


def test_every_skeleton_can_be_drawn():
    view = viewpoint_on("front", BOX, 0.0, SIZE)
    for name in ("blazepose33", "mvor10", "panoptic19", "halpe26"):
        image = scene_picture(NOW[:1].to_skeleton(skeleton(name)), viewpoint=view, size=SIZE, box=BOX)
        assert near(image, view.project(NOW.xyz[0, COCO.index("left_hip")], SIZE), person_tint(int(NOW.person[0])))


def test_moments_stand_side_by_side():
    table = poses(50, missing=0.0, absent=lambda frame, person: frame >= 30)
    sheet = scene_moments(take(table, 50), [5, 15, 40], size=(160, 120), columns=2)
    assert sheet.shape == (244, 324, 3)
    coloured = (np.ptp(sheet.astype(int), axis=-1) > 60).astype(int)
    cells = [coloured[:120, :160].sum(), coloured[:120, 164:].sum(), coloured[124:, :160].sum()]
    assert cells[0] > 50 and cells[1] > 50 and cells[2] == 0  # nobody at frame 40
    assert (sheet[124:, 164:] == 255).all()


@pytest.mark.parametrize("camera_path", ["orbit", "follow"])
def test_a_video_lasts_as_long_as_the_take(tmp_path, camera_path):
    av = pytest.importorskip("av")
    told = []
    path = scene_video(
        tmp_path / "take.mp4", take(TABLE, 50, axes="y-up"), rig(), camera_path=camera_path, size=(160, 90),
        cloud_at=lambda frame: (np.zeros((1, 3)), np.zeros((1, 3), np.uint8)) if frame else None,
        progress=lambda what, done, whole: told.append((what, done, whole)),
    )  # fmt: skip
    with av.open(str(path)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert float(container.streams.video[0].average_rate) == RATE_HZ
    assert len(images) == 50 and images[0].shape == (90, 160, 3) and told[-1] == ("video", 50, 50)
    assert np.abs(images[0].astype(int) - images[25]).max() > 60
    with pytest.raises(InputError, match="unknown camera path"):
        scene_video(tmp_path / "no.mp4", take(TABLE, 50), camera_path="up")
    with pytest.raises(InputError, match="no image"):
        scene_video(tmp_path / "no.mp4", take(TABLE[:0], 0))
    assert [file.name for file in tmp_path.iterdir()] == ["take.mp4"]


def test_memory_does_not_grow_with_the_take():
    piece = poses(20)

    def peak(times):
        def chunks():
            for turn in range(times):
                yield piece.with_columns(frame=piece.frame + 20 * turn)

        long = take(piece, 20 * times)
        object.__setattr__(long, "chunks", chunks)
        tracemalloc.start()
        for _ in scene_pictures(long, range(0, long.frames, 40), camera_path="follow", size=(64, 48)):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)
    assert peak(40) < peak(10) + 300_000  # the poses of 600 frames are 0.95 MB
