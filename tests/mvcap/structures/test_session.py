"""Sessions: what footage and calibration become, and that bad ones are refused in one line with nothing left behind."""

import errno
import os
import resource
import subprocess
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import yaml
from walking_take import rig

import mvcap
from calib import CalibrationError, Rig, RigFileError, RigMismatchError, save_rig
from mvcap.errors import ConfigError, InputError, MvcapError, SessionError, StaleError
from mvcap.structures.session import Session
from mvcap.structures.video_writer import write_video

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
SIZE = (64, 48)
NAMES = ("cam01", "cam02", "cam03", "cam04")


def picture(frame, seed=0):
    """Noise whose middle tells the frame: 20 grey levels a frame."""
    image = np.random.default_rng([seed, frame]).integers(0, 40, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    image[16:32, 16:48] = 20 * frame
    return image


def shown(image):
    return round(float(image[18:30, 20:44].mean()) / 20)


def clip(path, frames=12, rate_hz=25.0, times_ms=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    if times_ms is None:
        return write_video(path, (picture(frame, seed) for frame in range(frames)), rate_hz, SIZE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for frame, time_ms in enumerate(times_ms):
            shot = av.VideoFrame.from_ndarray(picture(frame, seed), format="rgb24")
            shot.pts, shot.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(shot))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def take(tmp_path):
    """Four clips in a folder, and their calibration."""
    for index, name in enumerate(NAMES):
        clip(tmp_path / "videos" / f"{name}.mp4", seed=index)
    save_rig(small_rig(), tmp_path / "rig.yaml")
    return tmp_path


def small_rig():
    return rig(SIZE, 40.0)


def make(take, sources="videos", calibration="rig.yaml", **options):
    given = take / sources if isinstance(sources, str) else sources
    return mvcap.init(given, take / calibration, take / "session", **options)


def refused(take, kind, *words, sources="videos", calibration="rig.yaml", **options):
    """The session is refused with these words in one line, and nothing of it is there."""
    with pytest.raises(kind) as caught:
        make(take, sources, calibration, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert not (take / "session").exists()
    assert not list(take.glob("**/.*"))


# What becomes a session


def test_a_folder_of_videos(take):
    session = make(take)
    assert session.names == NAMES and session.frames == 12 and session.rate_hz == pytest.approx(25)
    assert session.frame_of.tolist() == np.tile(np.arange(12)[:, None], 4).tolist()
    assert np.isfinite(session.time_s).all() and session.rig.names == NAMES and session.notes == ()
    again = Session.open(take / "session")
    assert again == session and again.identity == session.identity and len(again.rig_identity) == 64
    images = list(again.images(2))
    assert [frame for frame, _ in images] == [shown(image) for _, image in images] == list(range(12))
    assert [frame for frame, _ in again.images(1, 4, 7)] == [4, 5, 6]
    assert sorted(path.name for path in session.folder.iterdir()) == ["rig.yaml", "session.yaml", "timeline.npz"]


def test_a_list_of_videos_and_names(take):
    paths = [take / "videos" / f"{name}.mp4" for name in NAMES]
    paths[3].rename(take / "videos" / "last.mp4")
    session = make(take, [paths[2], paths[0], str(paths[1]), f"cam04={take / 'videos' / 'last.mp4'}"])
    assert session.names == session.rig.names == ("cam03", "cam01", "cam02", "cam04")
    assert session.views[3].path.endswith("last.mp4")


def test_a_file_with_an_equals_sign_in_its_name(take):
    odd = take / "videos" / "cam04.mp4"
    odd.rename(take / "videos" / "a=b.mp4")
    session = make(take, [*(take / "videos" / f"{name}.mp4" for name in NAMES[:3]), take / "videos" / "a=b.mp4"],
                   calibration=renamed(take, "a=b"))  # fmt: skip
    assert session.names[3] == "a=b"


def renamed(take, name):
    edit(take, lambda cameras: cameras[3].update(name=name))
    return "edited.yaml"


def test_folders_of_images(take):
    for name in NAMES:
        (take / "images" / name).mkdir(parents=True)
        for frame in (8, 9, 10, 11):
            cv2.imwrite(str(take / "images" / name / f"shot{frame}.png"), picture(frame))
    session = make(take, "images", rate_hz=50.0)
    assert session.names == NAMES and session.frames == 4 and session.rate_hz == pytest.approx(50)
    assert [shown(image) for _, image in session.images(0)] == [8, 9, 10, 11]
    assert np.allclose(session.time_s[:, 0], np.arange(4) / 50)


def test_images_without_a_rate_are_noted(take):
    for seed, name in enumerate(NAMES):
        (take / "images" / name).mkdir(parents=True)
        cv2.imwrite(str(take / "images" / name / "0.jpg"), picture(0, seed))
    session = make(take, "images")
    [note] = session.notes  # once, for all views
    assert session.rate_hz == 30 and note.startswith("cam01, cam02, cam03, cam04: rate not given")


def test_only_detections_made_elsewhere(tmp_path):
    session = mvcap.Session.create(small_rig(), tmp_path / "s", frames=7, rate_hz=60.0)
    assert session.frames == 7 and not session.has_footage() and Session.open(tmp_path / "s") == session
    with pytest.raises(InputError, match="no images"):
        session.footage(0)
    for frames, rate_hz in ((0, 25.0), (5, 0.0), (5, -1.0), (5, float("nan"))):
        with pytest.raises(InputError, match=r"at least one frame|frames per second"):
            mvcap.Session.create(small_rig(), tmp_path / "t", frames=frames, rate_hz=rate_hz)
    assert not (tmp_path / "t").exists()
    one = mvcap.Session.create(Rig(small_rig().cameras[:1]), tmp_path / "t", frames=5, rate_hz=25.0)
    assert len(one.views) == 1 and one.given_rig.names == one.rig.names


def test_variable_frame_rate_leaves_gaps(take):
    times_ms = [0, 40, 80, 160, 200, 240, 320, 360, 400, 440]  # 120 and 280 were dropped
    clip(take / "videos" / "cam02.mp4", times_ms=times_ms)
    session = make(take)
    gaps = np.flatnonzero(session.frame_of[:, 1] < 0)
    assert session.frames == 12 and gaps.tolist() == [3, 7]
    assert np.isnan(session.time_s[gaps, 1]).all() and np.isfinite(session.time_s).sum() == 46
    images = list(session.images(1))
    assert [frame for frame, image in images if image is None] == [3, 7]
    assert [shown(image) for _, image in images if image is not None] == list(range(10))
    assert any("cam02.mp4: 2 frames dropped" in note for note in session.notes)


def test_the_same_again_is_the_same_session(take):
    first = make(take)
    (first.folder / "config.yaml").write_text("track: {join_s: 2.0}\n")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    assert make(take) == first and make(take).overrides == {"track": {"join_s": 2.0}}
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before


# What does not


def test_no_such_file(take):
    refused(take, InputError, "none.mp4: no such file", sources=[take / "none.mp4", take / "videos" / "cam01.mp4"])
    refused(take, InputError, "nowhere: no such file", sources="nowhere")
    refused(take, RigFileError, "none.yaml: there is no such file", calibration="none.yaml")


def test_not_a_video(take):
    (take / "videos" / "cam02.mp4").write_text("this is a letter, not a film\n" * 50)
    refused(take, InputError, "cam02.mp4: is not a video")
    (take / "videos" / "cam02.mp4").write_bytes(b"")
    refused(take, InputError, "cam02.mp4: is empty")


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_video(take, kept):
    path = take / "videos" / "cam02.mp4"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refused(take, InputError, "cam02.mp4: is cut short")


@pytest.mark.parametrize(("suffix", "words"), [("mp4", "holds no video stream"), ("mkv", "is not a video")])
def test_no_frames(take, suffix, words):
    (take / "videos" / "cam02.mp4").unlink()
    with av.open(str(take / "videos" / f"cam02.{suffix}"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        container.start_encoding()
    refused(take, InputError, f"cam02.{suffix}: ", words)


def test_a_folder_without_footage(take):
    (take / "empty").mkdir()
    refused(take, InputError, "empty: contains no videos and no image folders", sources="empty")
    refused(take, InputError, "no footage given", sources=[])


def test_one_view(take):
    """With the calibration of its camera, with an angle of view, or with neither."""
    sources = take / "videos" / "cam01.mp4"
    refused(take, InputError, "--fov is for one view without a calibration", sources="videos/cam01.mp4", fov_deg=70.0)
    with pytest.raises(InputError, match="4 views need a calibration"):
        mvcap.init(take / "videos", None, take / "none")
    for angle in (0, 200, float("nan")):
        with pytest.raises(InputError, match="--fov"):
            mvcap.init(sources, None, take / "none", fov_deg=angle)
    assert not (take / "none").exists()
    made = mvcap.init(sources, None, take / "prior")
    assert made.notes[0].startswith("one view only") and any("60 degrees" in note for note in made.notes)
    assert mvcap.init(sources, None, take / "prior").rig_identity == made.rig_identity
    assert any("75 degrees" in note for note in mvcap.init(sources, None, take / "fov", fov_deg=75.0).notes)


def test_two_views_of_one_name(take):
    clip(take / "more" / "cam01.mp4")
    refused(take, InputError, "two views are named 'cam01'", sources=[take / "videos", take / "more" / "cam01.mp4"])


def test_another_length(take):
    clip(take / "videos" / "cam03.mp4", frames=9)
    refused(take, InputError, "cam03.mp4", "cam01 12", "cam03 9", "--trim")
    session = make(take, trim=True)
    assert session.frames == 9 and session.frame_of.shape == (9, 4)
    assert any("all cut to 9" in note for note in session.notes)


def test_another_rate(take):
    clip(take / "videos" / "cam03.mp4", rate_hz=30.0)
    refused(take, InputError, "cam03.mp4: the views' frame rates differ", "cam03 30.000 Hz", "cam01 25.000 Hz")


@pytest.mark.parametrize("rate_hz", [0.0, -5.0, float("inf")])
def test_an_impossible_rate_of_images(take, rate_hz):
    for name in NAMES:
        (take / "images" / name).mkdir(parents=True)
        cv2.imwrite(str(take / "images" / name / "0.jpg"), picture(0))
    refused(take, InputError, "rate", sources="images", rate_hz=rate_hz)


def edit(take, change):
    """Write edited.yaml: the calibration after ``change(cameras)``."""
    document = yaml.safe_load((take / "rig.yaml").read_text())
    change(document["cameras"])
    (take / "edited.yaml").write_text(yaml.safe_dump(document))


def set_number(key, row, column, value):
    def change(cameras):
        cameras[1][key][row][column] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cameras: cameras.pop(1), ("views without a camera: cam02", "without a view: none")),
        (lambda cameras: cameras[1].update(name="kitchen"), ("camera: cam02", "without a view: kitchen")),
        (lambda cameras: cameras[1].update(name="cam01"), ("more than one camera is named 'cam01'",)),
        (lambda cameras: cameras.clear(), ("edited.yaml", "no camera")),
        (set_number("K", 0, 0, 0.0), ("'cam02'", "K is singular")),
        (set_number("K", 2, 2, 0.0), ("'cam02'", "K is not of the form")),
        (set_number("cam_from_world", 0, 0, 3.0), ("'cam02'", "rotation")),
        (set_number("cam_from_world", 0, 3, float("nan")), ("'cam02'", "NaN")),
        (set_number("K", 0, 2, float("inf")), ("'cam02'", "infinity")),
        (lambda cameras: cameras[1].update(size=[640, 480]), ("'cam02'", "--rig-scale")),
        (lambda cameras: cameras[1].update(size=[48, 64]), ("'cam02'",)),
        (lambda cameras: cameras[1].pop("K"), ("'cam02'", "K is missing")),
    ],
)
def test_a_bad_calibration(take, change, words):
    edit(take, change)
    refused(take, CalibrationError, *words, calibration="edited.yaml")


def test_a_mirrored_camera(take):
    edit(take, lambda cameras: [cameras[1]["cam_from_world"][0].__setitem__(k, -v)
                                for k, v in enumerate(cameras[1]["cam_from_world"][0])])  # fmt: skip
    refused(take, CalibrationError, "'cam02'", "rotation", calibration="edited.yaml")


def test_a_calibration_in_another_unit(take):
    save_rig(small_rig().scaled_world(1000.0), take / "rig_mm.toml")
    refused(take, CalibrationError, "rig_mm.toml", "--rig-unit mm", calibration="rig_mm.toml")
    session = make(take, calibration="rig_mm.toml", rig_unit="mm")
    np.testing.assert_allclose(session.rig.positions, small_rig().positions, atol=1e-9)


def test_a_calibration_of_more_cameras(take):
    (take / "videos" / "cam04.mp4").unlink()
    refused(take, RigMismatchError, "without a view: cam04")
    assert make(take, subset=True).rig.names == NAMES[:3]


def test_a_calibration_of_another_size_is_scaled_when_asked(take):
    save_rig(rig((640, 480), 400.0), take / "large.yaml")
    refused(take, RigMismatchError, "--rig-scale", calibration="large.yaml")
    session = make(take, calibration="large.yaml", rig_scale=True)
    assert session.rig[0].lens.K[0, 0] == pytest.approx(40) and len(session.notes) == 4


def test_another_session_is_there(take):
    kept = make(take)
    before = {path: path.read_bytes() for path in kept.folder.iterdir()}
    clip(take / "videos" / "cam01.mp4", seed=99)
    with pytest.raises(SessionError, match="other footage or another rig; choose another folder"):
        make(take)
    with pytest.raises(SessionError, match="other footage or another rig"):
        mvcap.Session.create(take / "rig.yaml", take / "session", frames=12, rate_hz=25.0)
    assert {path: path.read_bytes() for path in kept.folder.iterdir()} == before


def test_a_file_is_in_the_way(take):
    (take / "session").write_text("mine")
    with pytest.raises(SessionError, match="is a file"):
        make(take)
    (take / "session").rename(take / "other")
    with pytest.raises(SessionError, match="other/session: the session cannot be written"):
        mvcap.init(take / "videos", take / "rig.yaml", take / "other" / "session")
    assert (take / "other").read_text() == "mine"


# A session that was changed


def test_changed_footage_is_refused(take):
    session = make(take)
    clip(take / "videos" / "cam03.mp4", seed=50)
    with pytest.raises(StaleError, match=r"cam03\.mp4: changed since the session was made") as caught:
        list(Session.open(session.folder).images(2))
    assert "\n" not in str(caught.value)
    assert len(list(session.images(0))) == 12
    (take / "videos" / "cam03.mp4").unlink()
    with pytest.raises(InputError, match="'cam03' is missing"):
        list(session.images(2))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("session.yaml", b""),
        ("session.yaml", b"views: [1\n"),
        ("session.yaml", b"- 1\n"),
        ("session.yaml", b"views: []\n"),
        ("session.yaml", b"\xff\xfe"),
        ("timeline.npz", b""),
        ("timeline.npz", b"PK\x03\x04 no zip"),
        ("timeline.npz", b"noise " * 50),
        ("rig.yaml", b""),
        ("rig.yaml", b"cameras: [\n"),
        ("config.yaml", b"track: [1\n"),
        ("config.yaml", b"- 1\n"),
        ("config.yaml", b"track: 3\n"),
    ],
)
def test_a_damaged_session_says_which_file(take, name, data):
    folder = make(take).folder
    (folder / name).write_bytes(data)

    def use():
        session = Session.open(folder)
        return session.frame_of, session.rig, session.settings("track", mvcap.track.TrackConfig)

    with pytest.raises((MvcapError, CalibrationError)) as caught:
        use()
    assert "\n" not in str(caught.value) and (name in str(caught.value) or isinstance(caught.value, ConfigError))


def test_a_folder_that_is_no_session(tmp_path):
    with pytest.raises(SessionError, match=r"is not a session .*mvcap init"):
        Session.open(tmp_path)


def test_settings_are_kept_and_laid_over(take):
    session = make(take)
    session.override({"track": {"join_s": 2.0}})
    session.override({"track": {"min_seconds": 0.5}, "export": {"formats": ("c3d",)}})
    session.override({})
    assert Session.open(session.folder).overrides["track"] == {"join_s": 2.0, "min_seconds": 0.5}


# Disks that are full or may not be written


@contextmanager
def mounted(place, options):
    """Mount a small file system of its own, or skip where that is not allowed."""
    place.mkdir()
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, check=False)
    if result.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def files_of_at_most(size):
    """Let no file grow larger; the operating system says so as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 4000], ids=["the rig", "the timeline"])
def test_a_disk_that_fills_leaves_nothing(tmp_path, size):
    def make():
        return mvcap.Session.create(small_rig(), tmp_path / "session", frames=1000, rate_hz=25.0)

    with files_of_at_most(size), pytest.raises(SessionError, match="cannot be written") as caught:
        make()
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "mine.txt").write_text("mine")
    with files_of_at_most(size), pytest.raises(SessionError, match="cannot be written"):
        make()
    assert [path.name for path in (tmp_path / "session").iterdir()] == ["mine.txt"]
    assert make().frames == 1000


def test_a_full_disk_is_said_in_one_line(take):
    with mounted(take / "disk", "size=8k") as disk:
        with pytest.raises(SessionError, match="No space left on device") as caught:
            mvcap.init(take / "videos", take / "rig.yaml", disk / "session")
        assert "\n" not in str(caught.value) and list(disk.iterdir()) == []


def test_a_full_disk_leaves_settings_as_they_were(take):
    session = make(take)
    session.override({"track": {"join_s": 2.0}})
    before = (session.folder / "config.yaml").read_bytes()
    with files_of_at_most(8), pytest.raises(SessionError, match=os.strerror(errno.EFBIG)):
        session.override({"track": {"min_seconds": 0.5}})
    assert (session.folder / "config.yaml").read_bytes() == before and not list(session.folder.glob(".*"))


def test_a_read_only_folder_is_said_in_one_line(take):
    with mounted(take / "disk", "size=64k,ro") as disk:
        for folder in (disk, disk / "session"):
            with pytest.raises(SessionError, match=r"Read-only file system.*--session") as caught:
                mvcap.init(take / "videos", take / "rig.yaml", folder)
            assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_of_others_is_said_in_one_line(take):
    (take / "locked").mkdir(mode=0o500)
    with pytest.raises(SessionError, match="Permission denied"):
        mvcap.init(take / "videos", take / "rig.yaml", take / "locked" / "session")


@pytest.mark.parametrize("rate_hz", [float("inf"), float("nan"), 0.0, -25.0, 1e9])
def test_a_rate_that_no_camera_has(tmp_path, rate_hz):
    with pytest.raises(InputError, match="rate_hz"):
        Session.create(rig(), tmp_path / "made", frames=5, rate_hz=rate_hz)
    assert not (tmp_path / "made").exists()


def test_more_frames_than_any_take_has(tmp_path):
    made = Session.create(rig(), tmp_path / "made", frames=5, rate_hz=25.0)
    path = made.folder / "session.yaml"
    path.write_text(path.read_text().replace("frames: 5", "frames: 99999999"))
    with pytest.raises(SessionError, match="out of range"):
        Session.of(made.folder)


def test_a_size_other_than_the_rig_s_is_refused(tmp_path):
    save_rig(rig(), tmp_path / "rig.yaml")
    width, height = rig()[0].size
    with pytest.raises(InputError, match=f"{width}x{height}, not the size given, 100x100") as caught:
        Session.create(tmp_path / "rig.yaml", tmp_path / "made", frames=5, rate_hz=25.0, size=(100, 100))
    assert "\n" not in str(caught.value) and not (tmp_path / "made").exists()
    made = Session.create(tmp_path / "rig.yaml", tmp_path / "made", frames=5, rate_hz=25.0, size=(width, height))
    assert made.views[0].size == (width, height)
