"""The functions on arrays: they do what the verbs do, without a session, and say what is wrong in one line."""

import inspect
import subprocess
import sys

import cv2
import generated_people as people
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_take import write_openpose

import mvcap
import mvcap.evaluate
import mvcap.track
from calib import CalibrationError
from mvcap import stages
from mvcap.errors import ConfigError, InputError, PluginError
from mvcap.structures.contracts import Estimate
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import Provenance
from mvcap.structures.skeleton import SKELETONS

COCO = SKELETONS["coco17"]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A take of three walkers of 130 frames, more than a chunk of association, refined."""
    take = people.circle(people=3, cameras=4, frames=130, rate_hz=25.0)
    made = people.make_session(tmp_path_factory.mktemp("arrays") / "s.mvcap", take, **people.NOISE)
    for verb in (mvcap.estimate, mvcap.associate, mvcap.triangulate, mvcap.track, mvcap.refine):
        verb(made)
    return made


@pytest.fixture(scope="module")
def found(session):
    return stages.detections(session, "estimate").between(0, session.frames)


def same(a, b):
    return len(a) == len(b) and all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=np.issubdtype(getattr(a, name).dtype, np.floating))
        for name in a.columns()
    )


# --- reconstruction


def test_arrays_give_what_a_session_gives_to_the_bit(session, found):
    poses = mvcap.reconstruct_rows(found, session.rig, rate_hz=session.rate_hz, frames=session.frames)
    assert same(poses, stages.poses(session, "refine").between(0, session.frames))
    assert same(poses.raw, stages.poses(session, "track").between(0, session.frames))
    assert poses.rate_hz == 25.0 and poses.take.frames == 130 and len(poses) > 300


def test_step_by_step(session, found):
    rig, rate = session.rig, session.rate_hz
    rows = mvcap.associate_rows(found, rig, rate_hz=rate)
    assert same(rows, stages.detections(session, "associate").between(0, session.frames))
    memory = {}
    halves = [mvcap.associate_rows(part, rig, rate_hz=rate, memory=memory)
              for part in (found[found.frame < 61], found[found.frame >= 61])]  # fmt: skip
    assert same(rows, type(rows).concatenate(halves, rows.skeleton))
    poses = mvcap.track_rows(mvcap.triangulate_rows(rows, rig), rate_hz=rate)
    assert poses.persons.tolist() == [1, 2, 3]
    truth = people.circle(people=3, cameras=4, frames=130, rate_hz=25.0)[0]
    raw = mvcap.score(poses, truth, rig, rate_hz=rate)
    refined = mvcap.score(mvcap.refine_rows(poses, rows, rig, rate_hz=rate), truth, rig, rate_hz=rate)
    plain = mvcap.refine_rows(poses, rows, rig, rate_hz=rate, refiner="butterworth", cutoff_hz=4.0)
    assert refined["mpjpe_mm"] < raw["mpjpe_mm"] < 15 and refined["id_switches"] == 0
    assert refined["jitter_mps2"] < raw["jitter_mps2"] and mvcap.score(plain, truth)["mpjpe_mm"] != raw["mpjpe_mm"]


def test_order_of_rows_does_not_matter(session, found):
    rng = np.random.default_rng(0)
    mixed = found[rng.permutation(len(found))]
    mixed = mixed[np.argsort(mixed.frame * 100 + mixed.view, kind="stable")]
    rows = mvcap.associate_rows(mixed[::-1], session.rig, rate_hz=25.0)
    assert (np.diff(rows.frame) >= 0).all() and rows.person.max() == 2


def test_nothing_in_nothing_out(session):
    empty = mvcap.Detections2D.empty(COCO)
    assert len(mvcap.reconstruct_rows(empty, session.rig)) == 0
    assert mvcap.reconstruct_rows(empty, session.rig, frames=7).dense().shape == (7, 0, 17, 3)
    assert len(mvcap.refine_rows(mvcap.Poses3D.empty(COCO), empty, session.rig)) == 0
    assert len(mvcap.track_rows(mvcap.Poses3D.empty(COCO))) == 0


def test_what_is_asked_wrongly(session, found):
    rig = session.rig
    with pytest.raises(PluginError, match="did you mean 'geometry'"):
        mvcap.associate_rows(found, rig, associator="geometri")
    with pytest.raises(ConfigError, match="did you mean 'most_pairs'"):
        mvcap.associate_rows(found, rig, most_pair=3)
    with pytest.raises(ConfigError, match="gate_sigma"):
        mvcap.track_rows(mvcap.Poses3D.empty(COCO), gate=3)
    with pytest.raises(PluginError, match="no refiner 'bone'"):
        mvcap.reconstruct_rows(found, rig, overrides={"refiner": "bone"})
    for call in (mvcap.associate_rows, mvcap.reconstruct_rows):
        with pytest.raises(InputError, match="view 3, but the rig has 3 cameras"):
            call(found, rig.select(rig.names[:3]))
    with pytest.raises(PluginError, match="has its settings"):
        mvcap.refine_rows(mvcap.Poses3D.empty(COCO), found, rig, refiner=object(), frames_mean=3)


def test_impossible_rates_lengths_and_frames_are_refused(session, found):
    rig, rows = session.rig, mvcap.associate_rows(found, session.rig)
    poses = mvcap.track_rows(mvcap.triangulate_rows(rows, rig))
    for rate in (0, -5, float("nan"), float("inf"), "25", None):
        for call in (
            lambda rate: mvcap.reconstruct_rows(found, rig, rate_hz=rate),
            lambda rate: mvcap.associate_rows(found, rig, rate_hz=rate),
            lambda rate: mvcap.track_rows(poses, rate_hz=rate),
            lambda rate: mvcap.refine_rows(poses, rows, rig, rate_hz=rate),
        ):
            with pytest.raises(InputError, match="rate_hz must be frames per second"):
                call(rate)
    for frames in (5, -1, 2.5):
        with pytest.raises(InputError, match="frames is the length of the take"):
            mvcap.reconstruct_rows(found, rig, frames=frames)
        with pytest.raises(InputError, match="frames is the length"):
            mvcap.score(poses, poses, frames=frames)
    late = np.where(found.frame == found.frame.max(), 10**9, found.frame)
    with pytest.raises(InputError, match="frame 1000000000: 1000000001 frames, more than any take has"):
        mvcap.reconstruct_rows(found.with_columns(frame=late), rig)
    with pytest.raises(InputError, match=r"frame 900000, but only .* frames have rows; .* give frames=900001"):
        mvcap.reconstruct_rows(found.with_columns(frame=np.minimum(late, 900_000)), rig)
    with pytest.raises(InputError, match="dense positions: 1000000001 frames"):
        poses.with_columns(frame=np.where(poses.frame == poses.frame.max(), 10**9, poses.frame)).dense()
    with pytest.raises(InputError, match="frame=10000000: "):
        mvcap.detect([], frame=10_000_000)
    with pytest.raises(InputError, match="the lowest here is -10"):
        mvcap.reconstruct_rows(found.with_columns(frame=found.frame - 10), rig)
    with pytest.raises(InputError, match="view -1"):
        mvcap.triangulate_rows(rows.with_columns(view=rows.view - 1), rig)
    with pytest.raises(InputError, match="2 rows are of person 1 in frame 0"):
        mvcap.write_poses(poses[np.r_[0 : len(poses), 0 : len(poses)]], "never.csv", rate_hz=25)
    with pytest.raises(InputError, match=r"calibration_px is \(C,\)"):
        mvcap.triangulate_rows(rows, rig, calibration_px=np.ones(7))
    for wrong, words in ((np.zeros(3), "detections are expected"), (None, "detections are expected")):
        with pytest.raises(InputError, match=words):
            mvcap.reconstruct_rows(wrong, rig)
    with pytest.raises(InputError, match="a rig is expected"):
        mvcap.associate_rows(found, list(rig))
    with pytest.raises(InputError, match="poses are expected"):
        mvcap.score(poses, poses.dense())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"trak": {"min_seconds": 1}}, "did you mean 'track'"),
        ({"refner": "butterworth"}, "did you mean 'refiner'"),
        ({"track.min_seconds": 1}, "'track.min_seconds'"),
        ({"track": 3}, "'?track"),
        ({"refiners": {"bonez": {"a": 1}}}, "did you mean 'bones'"),
        ({"refiners": {"bones": {"fill": 1}}}, "did you mean 'fill_m'"),
        ("x", "keys and values"),
    ],
)
def test_unknown_overrides_are_refused(session, found, overrides, words):
    with pytest.raises((ConfigError, PluginError), match=words):
        mvcap.reconstruct_rows(found, session.rig, overrides=overrides)


class Silent:
    """A refiner that forgets to return its poses."""

    def refine(self, poses, evidence):
        """Return nothing."""


def silent_exporter(take, path):
    """An exporter that forgets to return its files."""


def test_a_plug_in_that_returns_nothing_is_named(session, found, tmp_path):
    rows = mvcap.associate_rows(found, session.rig)
    poses = mvcap.track_rows(mvcap.triangulate_rows(rows, session.rig))
    with pytest.raises(PluginError, match="refiner Silent returned NoneType"):
        mvcap.refine_rows(poses, rows, session.rig, refiner=Silent())
    with pytest.raises(PluginError, match="silent_exporter' returned NoneType"):
        mvcap.write_poses(poses, tmp_path / "x.csv", rate_hz=25, exporter=f"{__name__}:silent_exporter")
    [file] = mvcap.write_poses(poses, tmp_path / "X.CSV", rate_hz=25)
    assert file.suffix == ".csv" and file.stat().st_size > 1000


# --- detections


@given(st.integers(0, 2**32 - 1))
def test_dense_detections_are_rows(seed):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(1, 900, (4, 3, 2, 17, 2))
    score = rng.uniform(0, 1, xy.shape[:-1])
    xy[rng.random(score.shape) < 0.2] = np.nan
    xy[rng.random(score.shape) < 0.1] = 0  # how many exporters write what is missing
    xy[0, 1, 1] = np.nan
    rows = mvcap.Detections2D.from_dense(xy, score, "coco17", carried=True)
    back = np.full(xy.shape, np.nan)
    back[rows.frame, rows.view, rows.carried] = rows.xy
    missing = ~np.isfinite(xy).all(-1) | (xy == 0).all(-1) | (score < 1e-3)
    assert np.allclose(back, np.where(missing[..., None], np.nan, xy), equal_nan=True, rtol=1e-6)
    assert len(rows) <= 23 and (rows.person == -1).all() and (np.diff(rows.frame) >= 0).all()


def test_noise_of_dense_detections():
    xy, score = np.random.default_rng(0).uniform(1, 900, (2, 2, 1, 17, 2)), np.full((2, 2, 1, 17), 0.5)
    usual = mvcap.Detections2D.from_dense(xy, score, "coco17")
    assert np.allclose(mvcap.Detections2D.from_dense(xy, score, COCO, noise=0.6).noise_px, 2 * usual.noise_px)
    assert np.allclose(mvcap.Detections2D.from_dense(xy, None, COCO).noise_px * 2, usual.noise_px)
    assert (mvcap.Detections2D.from_dense(xy, score, COCO, noise_px=3.0).noise_px == 3).all()


def test_dense_detections_of_another_shape():
    for xy, score, words in (
        (np.zeros((2, 2, 17, 2)), None, "T, C, P, J, 2"),
        (np.zeros((2, 2, 1, 18, 2)), None, "J = 17"),
        (np.zeros((2, 2, 1, 17, 2)), np.ones((2, 2, 17)), "score must be"),
    ):
        with pytest.raises(ValueError, match=words):
            mvcap.Detections2D.from_dense(xy, score, "coco17")
    with pytest.raises(InputError, match="coco17"):
        mvcap.Detections2D.from_dense(np.zeros((2, 2, 1, 18, 2)), None, "coco19")


def test_numbers_that_are_no_places(session):
    xy, score = np.full((2, 2, 1, 17, 2), 1e300), np.ones((2, 2, 1, 17))
    assert len(mvcap.Detections2D.from_dense(xy, score, COCO)) == 0
    assert len(mvcap.Poses3D.from_dense(np.full((2, 1, 17, 3), 1e39), COCO)) == 0
    for noise in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="noise"):
            mvcap.Detections2D.from_dense(xy / 1e298, score, COCO, noise=noise)
        with pytest.raises(ValueError, match="noise_px"):
            mvcap.Detections2D.from_dense(xy / 1e298, score, COCO, noise_px=noise)
    for persons in ([1, 1], [1], [1, 2, 3], [1.5, 2], [0, -1], [1, 2**40]):
        with pytest.raises(ValueError, match="persons are 2 different whole numbers"):
            mvcap.Poses3D.from_dense(np.zeros((1, 2, 17, 3)), COCO, persons=persons)


def test_rows_of_a_view_and_a_frame(found):
    some = found.of(view=1, frame=7)
    assert set(some.view) == {1} and set(some.frame) == {7} and len(some) == 3
    assert len(found.of()) == len(found) and len(found.of(person=5)) == 0


def test_files_of_other_estimators(tmp_path):
    folder = write_openpose(tmp_path, frames=9) / "pose"
    rig = mvcap.load_rig(tmp_path / "rig.yaml")
    rows = mvcap.load_detections(folder, "openpose", rig)
    assert sorted(set(rows.frame.tolist())) == list(range(9)) and set(rows.view.tolist()) == {0, 1, 2}
    assert rows.skeleton.name == "body25" and len(rows) == 9 * 3 * 2
    assert same(rows, mvcap.load_detections(folder, "openpose", rig, frames=9))
    with pytest.raises(InputError, match="9 frames"):
        mvcap.load_detections(folder, "openpose", rig, frames=20)
    with pytest.raises(InputError, match="reads no files"):
        mvcap.load_detections(tmp_path, "blazepose", rig)
    with pytest.raises(InputError, match="nowhere"):
        mvcap.load_detections(tmp_path / "nowhere", "coco", rig)


class Corner:
    """Estimator that puts everybody's joints at the picture's mean, and counts its pictures."""

    skeleton = COCO
    needs_images = True

    def prepare(self, views):
        self.views = views
        return "corner"

    def estimate(self, image, frame, view, state):
        count = int(state.get("count", 0)) + 1
        xy = np.full((1, 17, 2), image.mean() + 1) + np.arange(17)[:, None]
        rows = mvcap.Detections2D.build(COCO, frame, view.index, xy, np.ones((1, 17)), 0.3, [count])
        return Estimate(rows, {"count": np.array(count)})


def test_pictures_of_a_moment_and_of_many():
    moment = np.stack([np.full((20, 30, 3), level, np.uint8) for level in (10, 40)])
    rows = mvcap.detect(moment, Corner())
    assert rows.view.tolist() == [0, 1] and rows.xy[:, 0, 0].tolist() == [11, 41] and rows.frame.tolist() == [0, 0]
    assert same(rows, mvcap.detect(list(moment), Corner()))
    estimator, memory = Corner(), {}
    mvcap.detect((moment for _ in range(3)), estimator, memory=memory, names=["a", "b"])
    rows = mvcap.detect([moment[0], None], estimator, frame=3, memory=memory)
    assert rows.frame.tolist() == [3] and rows.carried.tolist() == [4]  # the view's fourth picture
    assert {name: int(value) for name, value in memory.items()} == {"0.count": 4, "1.count": 3}
    with pytest.raises(InputError, match="2 views, 1 images"):
        mvcap.detect((moment[: 2 - at] for at in range(2)), Corner())
    for wrong in ([moment[..., 0][0]], moment.astype(float), [moment[0][..., :1], moment[1]], [moment[..., 0]]):
        with pytest.raises(InputError, match=r"\(H, W, 3\) uint8"):
            mvcap.detect(wrong, Corner())


# --- poses


def walker():
    """Positions (5, 2, 17, 3) with a person missing in one frame, and a joint in another."""
    xyz = np.random.default_rng(4).normal(0, 1, (5, 2, 17, 3))
    xyz[1, 0] = np.nan
    xyz[2, 1, 5] = np.nan
    return xyz


def test_dense_poses_come_back():
    xyz = walker()
    poses = mvcap.Poses3D.from_dense(xyz, "coco17", persons=[4, 7])
    assert np.allclose(poses.dense(), xyz, equal_nan=True, atol=1e-6) and poses.persons.tolist() == [4, 7]
    assert poses.dense(frames=3, persons=[7]).shape == (3, 1, 17, 3) and poses.dense(frames=9).shape[0] == 9
    assert len(poses.of(person=4)) == 4 and poses.of(frame=1).person.tolist() == [7]
    assert len(poses.of(person=7, frame=2)) == 1 and poses.of(person=7, frame=2).score[0, 5] == 0
    with pytest.raises(ValueError, match="T, P, J, 3"):
        mvcap.Poses3D.from_dense(xyz[:, 0], "coco17")


def test_poses_of_another_skeleton():
    poses = mvcap.Poses3D.from_dense(walker(), "coco17")
    other = poses.to_skeleton("panoptic19")
    hips = [COCO.index("left_hip"), COCO.index("right_hip")]
    assert np.allclose(other.xyz[:, other.skeleton.index("pelvis")], poses.xyz[:, hips].mean(1), atol=1e-6)
    assert np.array_equal(other.xyz[:, other.skeleton.index("nose")], poses.xyz[:, 0])
    back = other.to_skeleton(COCO)
    shared = [COCO.index(joint) for joint in COCO.joints if joint in other.skeleton.joints]
    assert np.allclose(back.xyz[:, shared], poses.xyz[:, shared], equal_nan=True)
    with pytest.raises(InputError, match="coco17"):
        poses.to_skeleton("coco")


def test_table_of_poses():
    frame = mvcap.Poses3D.from_dense(walker(), "coco17").to_pandas(rate_hz=50)
    assert list(frame.columns) == ["frame", "time_s", "person", "joint", "x_m", "y_m", "z_m", "score", "error_px",
                                   "views", "sigma_m"]  # fmt: skip
    one = frame[(frame.frame == 3) & (frame.person == 2) & (frame.joint == "left_knee")].iloc[0]
    assert one.time_s == 0.06 and one.y_m == pytest.approx(walker()[3, 1, COCO.index("left_knee"), 1], abs=1e-6)
    assert len(frame) == 9 * 17 and frame.x_m.isna().sum() == 1


@pytest.mark.parametrize("suffix", ["npz", "csv", "trc", "c3d", "bvh", "glb", "parquet", "json"])
def test_poses_are_written_by_suffix(tmp_path, session, suffix):
    poses = stages.poses(session, "refine").between(0, 30)
    files = mvcap.write_poses(poses, tmp_path / f"take.{suffix}", rate_hz=25.0)
    assert len([file for file in files if file.suffix == f".{suffix}"]) == (3 if suffix in ("trc", "bvh") else 1)
    assert all(file.stat().st_size > 100 and file.stem.startswith("take") for file in files)


def test_poses_come_back_from_a_file(tmp_path, session, found):
    poses = mvcap.reconstruct_rows(found[found.frame < 60], session.rig, rate_hz=25.0)
    [file] = mvcap.write_poses(poses, tmp_path / "take.npz")
    again = mvcap.load_poses(file)
    assert same(again, poses) and same(again.raw, poses.raw) and again.rate_hz == 25.0
    assert again.dense().shape == (60, 3, 26, 3) and set(again.provenance.ravel()) <= set(map(int, Provenance))
    assert again.of(person=1).rate_hz == 25.0 and again.to_skeleton("coco17").raw.skeleton.name == "coco17"
    save_poses(tmp_path / "bare.npz", mvcap.Poses3D.from_dense(walker(), "coco17"))
    bare = mvcap.load_poses(tmp_path / "bare.npz")
    assert bare.rate_hz is None and bare.raw is None
    with pytest.raises(InputError, match="give rate_hz"):
        mvcap.write_poses(bare, tmp_path / "x.csv")
    with pytest.raises(PluginError, match="no exporter 'xyz'"):
        mvcap.write_poses(poses, tmp_path / "take.xyz")
    (tmp_path / "bad.npz").write_bytes(file.read_bytes()[:500])
    for path in (tmp_path / "bad.npz", tmp_path / "none.npz"):
        with pytest.raises(InputError, match="cannot be read as poses"):
            mvcap.load_poses(path)


@given(st.floats(0.001, 0.4))
def test_a_shift_is_scored_as_one(metres):
    xyz = walker()[:, :1]
    truth = mvcap.Poses3D.from_dense(xyz, "coco17")
    figures = mvcap.score(mvcap.Poses3D.from_dense(xyz + np.array([metres, 0, 0]), "coco17"), truth)
    assert figures["mpjpe_mm"] == pytest.approx(1000 * metres, rel=1e-3) and figures["id_switches"] is None
    assert mvcap.score(truth, truth)["mpjpe_mm"] == 0


def test_people_are_drawn_where_they_are():
    rig = people.ring_rig(4)
    poses = mvcap.Poses3D.from_dense(people.circle(2, 4, 3)[0].dense(), "halpe26")
    blank = np.zeros((rig[0].size[1], rig[0].size[0], 3), np.uint8)
    image = mvcap.draw(blank, poses, rig[0], frame=1)
    xy = np.rint(rig[0].project(poses.of(frame=1).xyz.astype(float))).astype(int).reshape(-1, 2)
    inside = xy[(xy > 2).all(-1) & (xy[:, 0] < image.shape[1] - 3) & (xy[:, 1] < image.shape[0] - 3)]
    assert len(inside) > 40 and (image[inside[:, 1], inside[:, 0]].max(-1) > 0).all()
    assert not blank.any() and 0 < (image.max(-1) > 0).mean() < 0.2
    assert not mvcap.draw(blank, poses, rig[0], frame=99).any()
    for wrong in (blank.astype(float), blank[..., 0], blank[:-1], blank[:0]):
        with pytest.raises(InputError, match="image"):
            mvcap.draw(wrong, poses, rig[0], frame=1)
    with pytest.raises(InputError, match="several frames"):
        mvcap.draw(blank, poses, rig[0])


# --- cameras


@pytest.mark.parametrize("count", [0, 4, 5, 8, 12, 14])
def test_cameras_of_opencv_project_as_opencv(count):
    rng = np.random.default_rng(count)
    K = np.tile([[800.0, 0, 640], [0, 810, 360], [0, 0, 1]], (3, 1, 1))
    dist = rng.normal(0, 0.02, (3, count)) * ([1] * 12 + [0, 0] if count == 14 else 1)
    rvec, tvec = rng.normal(0, 0.3, (3, 3)), rng.normal(0, 0.2, (3, 3)) + np.array([0, 0, 5])
    points = rng.uniform(-0.8, 0.8, (20, 3))
    rig = mvcap.Rig.from_opencv(K, dist if count else None, rvec, tvec, (1280, 720))
    for view in range(3):
        expected = cv2.projectPoints(points, rvec[view], tvec[view], K[view], dist[view] if count else None)[0]
        assert np.allclose(rig.project(points)[view], expected[:, 0], atol=1e-6)
    turned = mvcap.Rig.from_opencv(K, dist if count else None, rig.cam_from_world[:, :3, :3], tvec, [(1280, 720)] * 3)
    assert np.allclose(turned.P, rig.P) and rig.names == ("cam1", "cam2", "cam3")
    error = rig.reprojection_error(points, rig.project(points) + np.array([3, 4]))
    assert error.shape == (3, 20) and np.allclose(error, 5)


def test_fisheyes_of_opencv():
    K, dist = np.array([[400.0, 0, 640], [0, 400, 360], [0, 0, 1]]), np.array([0.02, -0.01, 0.003, 0.0])
    points = np.random.default_rng(0).uniform(-2, 2, (9, 1, 3)) + np.array([0, 0, 3])
    rig = mvcap.Rig.from_opencv([K], [dist], [[0.1, 0.2, 0]], [[0, 0, 1]], (1280, 720), ["wide"], fisheye=True)
    expected = cv2.fisheye.projectPoints(points, np.array([0.1, 0.2, 0]), np.array([0, 0, 1.0]), K, dist)[0]
    assert np.allclose(rig.project(points[:, 0])[0], expected[:, 0], atol=1e-6)


def test_cameras_that_do_not_fit_together():
    K, zeros = np.tile(np.diag([800.0, 800, 1]), (2, 1, 1)), np.zeros((2, 3))
    for change, words in (
        ({"names": ["a"]}, "names of 1"),
        ({"tvec": np.zeros((3, 2))}, r"tvec must be \(C, 3\) for C = 2"),
        ({"rvec": np.zeros((3, 2))}, r"rvec must be \(C, 3\)"),
        ({"K": np.zeros((0, 3, 3))}, r"K must be \(C, 3, 3\)"),
        ({"dist": [[0.0] * 5]}, "dist of 1"),
        ({"size": (1, 2, 3)}, r"size must be \(w, h\)"),
        ({"size": (64.5, 48)}, "'cam1': the image size"),
        ({"dist": [[0.0] * 3] * 2}, "'cam1'"),
        ({"dist": [[0.0] * 13 + [1]] * 2}, "tilted"),
    ):
        given_ = {"K": K, "dist": None, "rvec": zeros, "tvec": zeros, "size": (64, 48), **change}
        with pytest.raises(CalibrationError, match=words):
            mvcap.Rig.from_opencv(**given_)


# --- the public face


def test_a_verb_is_a_function_and_its_module():
    import mvcap.evaluate as e
    import mvcap.track as t

    assert t is mvcap.track and callable(t) and t.track_rows is mvcap.track_rows and e.score is mvcap.score
    assert inspect.signature(mvcap.track) == inspect.signature(t.track) and "session" in str(inspect.signature(t))
    assert all(getattr(mvcap, name) is not None for name in mvcap.__all__) and set(mvcap.__all__) <= set(dir(mvcap))
    with pytest.raises(AttributeError, match="'mvcap' has no attribute 'tracc'"):
        mvcap.tracc  # noqa: B018


def test_import_loads_nothing():
    heavy = "{'numpy', 'calib', 'click', 'mvcap.errors', 'mvcap.structures'}"
    code = f"import sys, mvcap; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
