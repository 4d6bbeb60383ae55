"""Files of part candidates: known people come back, broken files are refused in one clear line."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from part_scenes import JOINTS, STANDING, scene
from synthetic_take import recordings

from mvcap.errors import ConfigError, InputError
from mvcap.estimation.part_grouping import BODY25_LIMBS
from mvcap.estimators.openpose_parts import OpenPoseParts, OpenPosePartsConfig, read_parts
from mvcap.structures.contracts import View
from mvcap.structures.detections import body_size
from mvcap.structures.skeleton import SKELETONS

SIZE = (1001, 801)
BODY25 = SKELETONS["body25"]


def view(frames=2, name="cam1", index=0):
    return View(index, name, SIZE, 25.0, frames)


def written(frames, empty_lines=True):
    """Text of a file; a frame is candidates px and limb scores."""
    lines = [f"4 {len(frames)}"]
    for xy, limb_scores in frames:
        for points in xy:
            lines.append(str(len(points)))
            table = [*(points / (np.array(SIZE) - 1)).T, np.full(len(points), 0.7)]
            lines += [" ".join(f"{value:.8f}" for value in row) for row in table if empty_lines or len(row)]
        for scores in limb_scores:
            lines += [" ".join(f"{value:g}" for value in row) for row in scores if empty_lines or len(row)]
    return "\n".join(lines) + "\n"


def two_people(keep=None):
    return scene(STANDING * 500 + (300, 700), STANDING * 400 + (600, 640), keep=keep)[:2]


def estimator(folder, text=None, **settings):
    if text is not None:
        (folder / "cam1.txt").write_text(text)
    return OpenPoseParts(OpenPosePartsConfig(folder=str(folder), **settings))


def rows(made, frame=0, of=None):
    return made.estimate(None, frame, of or view(), {}).rows


@pytest.mark.parametrize("empty_lines", [True, False])
def test_people_come_back(tmp_path, empty_lines):
    made = estimator(tmp_path, written([two_people(), two_people(lambda b, j: b == 1)], empty_lines))
    assert len(made.prepare((view(),))) == 64
    both, one = rows(made), rows(made, 1)
    order = np.argsort(both.xy[:, 0, 0])
    np.testing.assert_allclose(both.xy[order[0]], STANDING * 500 + (300, 700), atol=1e-3)
    np.testing.assert_allclose(both.xy[order[1]], STANDING * 400 + (600, 640), atol=1e-3)
    np.testing.assert_allclose(both.score, 0.7, rtol=1e-6)
    assert both.frame.tolist() == [0, 0] and one.frame.tolist() == [1] and one.view.tolist() == [0]
    assert len(estimator(tmp_path).estimate(None, 0, view(), {}).rows) == 2  # also without prepare


def test_a_fragment_is_as_unsure_as_its_body(tmp_path):
    whole = (STANDING * 500 + (300, 700))[None]
    arm = two_people(lambda body, joint: body == 0 and joint in (2, 3, 4))
    made = estimator(tmp_path, written([two_people(lambda body, _: body == 0), arm]))
    body, fragment = rows(made, 0), rows(made, 1)
    assert len(body) == len(fragment) == 1
    seen = [2, 3, 4]
    assert (np.isfinite(fragment.noise_px) == np.isin(np.arange(JOINTS), seen)).all()
    np.testing.assert_allclose(fragment.noise_px[:, seen], body.noise_px[:, seen], rtol=0.15)
    size = body_size(np.array([[*whole.min(1)[0], *whole.max(1)[0]]]))
    np.testing.assert_allclose(body.noise_px[0], 0.18 * BODY25.sigma * size / 0.7, rtol=0.15)
    assert body_size(fragment.box)[0] < 0.4 * size[0]  # the box is that of its joints


def test_how_small_a_fragment_may_be(tmp_path):
    frame = two_people(lambda body, joint: body == 0 and joint in (2, 3, 4, 11))
    text = written([frame, frame])
    assert [len(rows(estimator(tmp_path, text, min_joints=n))) for n in (1, 2, 3, 4)] == [2, 1, 1, 0]
    unsure = text.replace(f"{0.7:.8f}", f"{0.3:.8f}")
    lone = rows(estimator(tmp_path, text, min_joints=1))
    assert (np.nan_to_num(lone.noise_px, nan=1) > 0).all()  # a lone joint has no box, but a noise
    assert len(rows(estimator(tmp_path, unsure, min_joints=1))) == 1
    with pytest.raises(ConfigError, match="min_joints"):
        OpenPosePartsConfig(min_joints=0)


def test_a_lone_joint_and_nobody(tmp_path):
    lone = two_people(lambda body, joint: body == 0 and joint == 11)
    made = estimator(tmp_path, written([lone, two_people(lambda *_: False)]), min_joints=1)
    size = 0.93 / np.sqrt(3) * SIZE[1]
    assert rows(made).noise_px[0, 11] == pytest.approx(0.18 * BODY25.sigma[11] * size / 0.7, rel=1e-5)
    assert len(rows(made, 1)) == 0


def test_first_frame(tmp_path):
    text = written([two_people(), two_people(lambda body, _: body == 1), two_people(lambda *_: False)])
    made = estimator(tmp_path, text, first_frame=1)
    made.prepare((view(2),))
    assert [len(rows(made, frame)) for frame in (0, 1)] == [1, 0]
    for settings, frames in (({}, 2), ({}, 4), ({"first_frame": 2}, 2)):
        with pytest.raises(
            InputError, match=rf"cam1.txt: 3 frames, but view cam1 of the session has {frames}; .*first"
        ):
            estimator(tmp_path, text, **settings).prepare((view(frames),))


def broken(text, line, new):
    lines = text.split("\n")
    lines[line - 1 : line] = [] if new is None else [new]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("line", "new", "says"),
    [
        (1, "0 2", r"line 1: skeleton 0, but only 4 .*BODY_25"),
        (1, "4", r"cam1.txt: does not begin with"),
        (1, "4 1.5", r"line 1: .* whole numbers"),
        (1, "4 -1", r"line 1: .* whole numbers"),
        (1, "4 3", r"cam1.txt: truncated, ends before the number of candidates of joint 0 of frame 2 is complete"),
        (1, "4 1", r"line \d+: more lines after the last of the 1 frames"),
        (2, "3", r"line 3: 2 numbers, but joint 0 of frame 0 has 3"),
        (2, "-2", r"line 2: -2 is not a number of candidates"),
        (2, "2.5", r"line 2: 2.5 is not a number of candidates"),
        (3, "0.1 x", r"line 3: a value is not a finite number"),
        (4, "0.1 nan", r"line 4: a value is not a finite number"),
        (4, "0.1 inf", r"line 4: a value is not a finite number"),
        (4, "0.1", r"line 4: 1 numbers, but joint 0 of frame 0 has 2"),
        (4, None, r"line 5: 1 numbers, but joint 0 of frame 0 has 2"),
        (3, "300.5 500.2", r"line 3: joint 0 of frame 0 is outside the image; .*shares"),
        (102, "0.5 0.5 0.5", r"line 102: 3 numbers, but limb 0 of frame 0 has 2"),
    ],
)
def test_broken_files_are_refused(tmp_path, line, new, says):
    text = broken(written([two_people(), two_people()]), line, new)
    with pytest.raises(InputError, match=says) as fault:
        estimator(tmp_path, text).prepare((view(),))
    assert "\n" not in str(fault.value) and "cam1.txt" in str(fault.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"set estimators.openpose_parts.folder"):
        OpenPoseParts(OpenPosePartsConfig()).prepare((view(),))
    with pytest.raises(InputError, match="no single file for view cam1"):
        estimator(tmp_path).prepare((view(),))
    for content in (b"", b"\n\n", b"\xff\xfe\x00\x81"):
        (tmp_path / "cam1.txt").write_bytes(content)
        with pytest.raises(InputError, match=r"cam1\.txt"):
            estimator(tmp_path).prepare((view(),))
    (tmp_path / "cam1.txt").unlink()
    (tmp_path / "cam1.txt").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        estimator(tmp_path).prepare((view(),))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    text = written([two_people(), two_people(lambda body, joint: joint > 5)])
    for stop in range(0, len(text) - 12, 97):
        (tmp_path / "cam1.txt").write_text(text[:stop])
        with pytest.raises(InputError, match=r"cam1\.txt"):
            read_parts(tmp_path / "cam1.txt", SIZE)


@pytest.mark.skipif(recordings() is None, reason="the recordings' folder is not here (MVCAP_DATA)")
def test_the_shelf(tmp_path):
    folder = recordings() / "shelf_dev" / "detection"
    if not folder.is_dir():
        pytest.skip("shelf_dev is not among the recordings")
    shutil.copy(folder / "2.txt", tmp_path / "2.txt")
    frames = int((tmp_path / "2.txt").read_text().split(maxsplit=2)[1])
    shelf = View(0, "2", (1032, 776), 25.0, frames)
    made = estimator(tmp_path)
    made.prepare((shelf,))
    begun = time.process_time()
    found = [rows(made, frame, shelf) for frame in range(frames)]
    seconds = (time.process_time() - begun) / frames
    whole = np.array([(one.score > 0).sum(1).max(initial=0) for one in found])
    assert np.mean(whole >= 20) > 0.95 and 2 < np.mean([len(one) for one in found]) < 5
    assert all(len(BODY25_LIMBS) == len(parts.limb_scores) for parts in made._parts["2"])
    assert seconds < 0.01  # 1 ms where nothing else runs
