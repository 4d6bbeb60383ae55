"""Which image of each view is of one moment: by number, by time, by name or by order, or refused with the reason."""

from fractions import Fraction

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.structures.footage import Footage
from mvcap.structures.frame_pairing import pair_views
from mvcap.structures.image_folders import in_order
from mvcap.structures.timeline import check_span

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
SIZE = (32, 24)


def folder(path, *stems):
    """A folder of images of these names."""
    path.mkdir(parents=True)
    for stem in stems:
        cv2.imwrite(str(path / f"{stem}.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return path


def images(tmp_path, *views):
    """Two views or more, each given by the names of its images."""
    return [folder(tmp_path / f"cam{index}", *map(str, stems)) for index, stems in enumerate(views, 1)]


def video(path, times_ms):
    """A video whose images have these times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10_000)
        for time_ms in times_ms:
            shot = av.VideoFrame.from_ndarray(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), format="rgb24")
            shot.pts, shot.time_base = round(10 * time_ms), Fraction(1, 10_000)
            container.mux(stream.encode(shot))
        container.mux(stream.encode(None))
    return path


def paired(paths, **options):
    return pair_views([p.stem for p in paths], [Footage.probe(p, options.get("rate_hz")) for p in paths], **options)


def refused(paths, *words, **options):
    with pytest.raises(InputError) as caught:
        paired(paths, **options)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words), str(caught.value)


# Image folders


def test_missing_numbers_are_dropped_frames_and_named(tmp_path):
    found = paired(images(tmp_path, *([f"frame_{n:04d}" for n in range(12) if n != lost] for lost in (4, 7))))
    assert found.frames == 12 and found.frame_of[:, 0].tolist() == [0, 1, 2, 3, -1, 4, 5, 6, 7, 8, 9, 10]
    assert found.frame_of[:, 1].tolist() == [0, 1, 2, 3, 4, 5, 6, -1, 7, 8, 9, 10]
    assert found.number_of[:, 0].tolist() == [0, 1, 2, 3, -1, 5, 6, 7, 8, 9, 10, 11]
    assert found.number_count.tolist() == [12, 12]
    assert np.allclose(found.time_s[5], 5 / 30) and np.isnan(found.time_s[4, 0])
    assert any("cam1: 1 frame dropped, no image 0004" in note for note in found.notes)
    assert any("cam2: 1 frame dropped, no image 0007" in note for note in found.notes)


def test_views_that_start_at_other_numbers_with_other_padding(tmp_path):
    found = paired(images(tmp_path, [f"{n:03d}" for n in range(1, 11)], [f"a_{n}" for n in range(4, 13)]), rate_hz=50.0)
    assert found.frames == 7 and found.rate_hz == 50
    assert found.frame_of.tolist() == [[n + 3, n] for n in range(7)]  # numbers 4 to 10
    assert any("cam1: 3 images left out" in note and "cam2 4 to 12" in note for note in found.notes)


def test_numbers_in_steps_count_once_a_step(tmp_path):
    found = paired(images(tmp_path, (0, 5, 10, 20), (0, 5, 10, 15, 20)))
    assert found.frame_of.tolist() == [[0, 0], [1, 1], [2, 2], [-1, 3], [3, 4]]
    assert found.number_of[:, 1].tolist() == [0, 5, 10, 15, 20] and any("steps of 5" in note for note in found.notes)


@pytest.mark.parametrize("views", [((1, 2, 3), (101, 102, 103)), ((0, 33, 67, 100), (0, 34, 66, 101))])
def test_views_without_common_numbers_are_refused(tmp_path, views):
    refused(images(tmp_path, *views), "numbers", f"cam1 {views[0][0]} to {views[0][-1]}", "--rate")


def test_times_as_names_are_paired_by_time(tmp_path):
    start = 1_700_000_000_000_000_000
    names = [[start + offset + round(n * 1e9 / 30) for n in kept]
             for offset, kept in ((0, range(12)), (3_000_000, [n for n in range(2, 14) if n != 6]))]  # fmt: skip
    found = paired(images(tmp_path, *names))
    assert found.rate_hz == pytest.approx(30, rel=1e-3) and found.frames == 10
    assert found.frame_of[:, 0].tolist() == list(range(2, 12))
    assert found.frame_of[:, 1].tolist() == [0, 1, 2, 3, -1, 4, 5, 6, 7, 8]
    assert np.nanmax(np.abs(found.time_s[:, 1] - found.time_s[:, 0])) == pytest.approx(0.003, abs=1e-4)


def test_milliseconds_as_names_with_jitter(tmp_path):
    rng = np.random.default_rng(1)
    names = [[1_700_000_000_000 + round(n * 100 / 3 + rng.normal(0, 5)) for n in range(40)] for _ in range(2)]
    found = paired(images(tmp_path, *names))
    assert found.frames == 40 and (found.frame_of == np.arange(40)[:, None]).all()
    refused(images(tmp_path / "apart", names[0], [n + 3_600_000 for n in names[1]]), "no moment in common")


def test_short_times_need_the_rate(tmp_path):
    views = images(tmp_path, [round(n * 100 / 3) for n in range(9)], [round(n * 100 / 3 + 1) for n in range(9)])
    refused(views, "share no numbers", "--rate")
    assert paired(views, rate_hz=30.0).frame_of.tolist() == [[n, n] for n in range(9)]


def test_images_without_numbers_are_paired_by_name_or_by_order(tmp_path):
    found = paired(images(tmp_path, ("cam1_a", "cam1_c", "cam1_d"), ("cam2_a", "cam2_b", "cam2_c")))
    assert found.frame_of.tolist() == [[0, 0], [1, 2]]
    assert any("cam2: 1 image left out" in note for note in found.notes)
    found = paired(images(tmp_path / "order", ("a", "b"), ("c", "d")))
    assert found.frame_of.tolist() == [[0, 0], [1, 1]] and any("by their order" in note for note in found.notes)
    refused(images(tmp_path / "unlike", ("a", "b"), ("c", "d", "e")), "cam1 2", "cam2 3")
    refused(images(tmp_path / "mixed", ("a", "b"), (1, 2)), "cam1: no numbers", "cam2: numbers")


@pytest.mark.parametrize("far", [10**9, 10**15])
def test_a_number_far_away_is_named_and_costs_nothing(tmp_path, far):
    views = images(tmp_path, (0, 1, 2, far), (0, 1, 2, far))
    refused(views, f"jumps by {far - 2} frames", "2.png", f"{far}.png")


# Videos


def test_rates_that_differ_by_a_thousandth_are_paired_by_time(tmp_path):
    views = [video(tmp_path / f"cam{i}.mkv", 1000 * np.arange(900) / rate)
             for i, rate in ((1, 30.0), (2, 29.97))]  # fmt: skip
    found = paired(views)
    assert found.rate_hz == pytest.approx(29.97, abs=1e-3) and found.frames == 899
    assert np.abs(found.time_s[:, 0] - found.time_s[:, 1]).max() < 0.51 / 30
    assert found.frame_of[-1].tolist() == [899, 898]
    [note] = found.notes
    assert "cam1 30.000 Hz" in note and "cam2 29.970 Hz" in note and "0.9 frames" in note and "--rate 30" in note
    by_count = paired(views, rate_hz=30.0)
    assert by_count.rate_hz == 30 and (by_count.frame_of == np.arange(900)[:, None]).all()
    assert np.allclose(by_count.time_s[-1], 899 / 30, atol=1e-3) and "by their count" in by_count.notes[0]


def test_timestamps_that_jitter_by_8_ms_are_one_rate(tmp_path):
    rng = np.random.default_rng(3)
    views = [tmp_path / "cam1.mkv", tmp_path / "cam2.mkv", tmp_path / "cam3.mkv"]
    for view in views[:2]:
        video(view, np.sort(20 + np.arange(120) * 100 / 3 + rng.uniform(-8, 8, 120)))
    video(views[2], np.arange(120) * 100 / 3)
    found = paired(views)
    assert found.rate_hz == pytest.approx(30, rel=1e-3)
    assert (found.frame_of == np.arange(120)[:, None]).all()
    assert sum("timestamps vary by" in note for note in found.notes) == 2


def test_the_true_rate_of_slow_motion_is_used_and_said(tmp_path):
    views = [video(tmp_path / f"cam{i}.mkv", np.arange(20) * 100 / 3) for i in (1, 2)]
    found = paired(views, rate_hz=240.0)
    assert found.rate_hz == 240 and np.allclose(found.time_s[-1], 19 / 240, atol=1e-4)
    assert "--rate 240 replaces the 30" in found.notes[0] and "0.125 s" in found.notes[0]
    assert paired(views, rate_hz=30.0).notes == ()
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        refused(views, "not possible", rate_hz=wrong)


def test_a_wild_timestamp_is_refused(tmp_path):
    views = [video(tmp_path / f"cam{i}.mkv", [*range(0, 400, 40), 80_000_000]) for i in (1, 2)]
    refused(views, "jumps by", "its images 9 and 10")


def test_a_video_and_a_folder_start_together(tmp_path):
    film = video(tmp_path / "cam1.mkv", np.arange(6) * 40)
    found = paired([film, folder(tmp_path / "cam2", 3, 4, 6, 7, 8)], rate_hz=25.0)
    assert found.frame_of.tolist() == [[0, 0], [1, 1], [2, -1], [3, 2], [4, 3], [5, 4]]
    assert found.number_of[:, 1].tolist() == [0, 1, -1, 3, 4, 5]


def test_a_span_names_the_view_that_jumps(tmp_path):
    views = [Footage.probe(path) for path in images(tmp_path, (1, 2, 3), (1, 2, 3))]
    assert in_order(views[0].files)[1].step == 1
    check_span(("a", "b"), views, [np.arange(3)] * 2, (0, 3))
    with pytest.raises(InputError, match="view b jumps by 999998 frames"):
        check_span(("a", "b"), views, [np.arange(3), np.array([0, 1, 999_999])], (0, 10**6))
