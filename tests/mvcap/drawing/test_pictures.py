"""Pictures: colours that differ, skeletons where they belong, series that stay short, plots that are pictures."""

import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, SIZE, chunked, detections, poses, rig

from mvcap.drawing import overlay
from mvcap.drawing.colours import GREY, colour, hexadecimal, ink
from mvcap.drawing.contact_sheet import ContactSheet, spread_frames
from mvcap.errors import InputError
from mvcap.reporting import plots
from mvcap.reporting.series import SeriesCollector
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.reprojection_residuals import ViewResiduals

cv2 = pytest.importorskip("cv2")
FRAMES = 50
RIG = rig()
TABLE = poses(FRAMES, absent=lambda frame, person: person == 2 and 20 <= frame < 30)
SEEN = detections(TABLE, RIG)


def blank(size=SIZE, value=90):
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_colours_are_stable_distinct_and_readable():
    first = [colour(person) for person in range(1, 15)]
    assert len(set(first)) == 14 and first == [colour(person) for person in range(1, 15)]
    nearest = min(np.abs(np.subtract(a, b)).sum() for a, b in itertools.combinations(first[:7], 2))
    assert nearest > 80
    assert colour(-1) == GREY and hexadecimal(1) == "#0072b2"
    assert ink((255, 255, 0)) == (0, 0, 0) and ink((0, 0, 90)) == (255, 255, 255)


def drawing(frame=10, view=1, **more):
    found, posed = SEEN[SEEN.frame == frame], TABLE[TABLE.frame == frame]
    return overlay.draw_view(blank(), view, RIG, found, posed, **more), posed


def test_a_pose_is_drawn_in_its_persons_colour_where_it_projects_to():
    image, posed = drawing()
    for row, person in enumerate(posed.person):
        joint = np.flatnonzero(posed.score[row])[-1]
        x, y = np.rint(RIG.cameras[1].project(posed.xyz[row, joint].astype(float))).astype(int)
        patch = image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(int)
        assert np.abs(patch - colour(person)).sum(1).min() < 30


def test_nothing_is_drawn_to_the_corner_for_missing_joints():
    xyz, score = TABLE.xyz.copy(), TABLE.score.copy()
    xyz[:, ::2], score[:, ::2] = np.nan, 0
    partly = TABLE.with_columns(xyz=xyz, score=score)
    image = overlay.draw_view(blank(), 0, RIG, SEEN[:0], partly[partly.frame == 5])
    assert (image[:40, :40] == 90).all() and (image != 90).any()
    nobody = np.full((2, 17, 2), np.nan)
    same = overlay.draw_rows(blank(), SEEN[:0], np.empty(0, int), nobody, np.array([1, 2]), COCO)
    assert (same == 90).all()
    wild = np.full((1, 17, 2), 1e7)
    wild[0, 0] = -1e12
    assert (overlay.draw_rows(blank(), SEEN[:0], np.empty(0, int), wild, np.array([1]), COCO) == 90).all()


def test_the_input_is_untouched_and_lines_follow_the_pictures_size():
    image = blank()
    image.setflags(write=False)
    found, posed = SEEN[SEEN.frame == 3], TABLE[TABLE.frame == 3]
    large = overlay.draw_view(image, 2, RIG, found, posed, title="cam03")
    assert (image == 90).all() and large.shape == image.shape
    small = overlay.draw_view(image, 2, RIG, found, posed, height_px=135)
    assert small.shape == (135, 240, 3)
    assert overlay.stroke_px(blank((3840, 2160))) > overlay.stroke_px(blank()) >= 2


def test_a_stranger_is_grey():
    frame = SEEN[SEEN.frame == 4]
    owner = overlay.owners(frame, TABLE[TABLE.frame == 4])
    assert sorted(set(owner.tolist())) == [-1, 1, 2]
    # groups are 2 - person, so the link must go through the group and not be the number itself
    assert all(2 - frame.person[row] == owner[row] for row in np.flatnonzero(owner > 0))
    stranger = overlay.draw_rows(
        blank(value=0), frame[owner < 0], owner[owner < 0], np.empty((0, 17, 2)), np.empty(0, int), COCO
    )
    assert stranger.any() and (stranger.max(-1) == stranger.min(-1)).all()


def test_an_overlay_video_is_small_and_whole(tmp_path):
    av = pytest.importorskip("av")
    big = rig((2560, 1440), 1650.0)
    images = ((frame, blank((2560, 1440))) for frame in range(12))
    drawn = overlay.overlay_images(
        images, 0, big, chunked(SEEN, FRAMES, 5), chunked(TABLE, FRAMES, 7), (COCO, COCO), RATE_HZ
    )
    path = overlay.write_overlay(tmp_path / "overlays" / "cam01.mp4", _made(drawn, tmp_path), RATE_HZ)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.height) == ("h264", 960)
        assert sum(1 for _ in container.decode(video=0)) == 12
    with pytest.raises(InputError, match="no image"):
        overlay.write_overlay(tmp_path / "none.mp4", iter(()), RATE_HZ)


def _made(images, folder):
    (folder / "overlays").mkdir()
    return images


def test_rows_by_frame_skips_and_ends():
    at = overlay.RowsByFrame(chunked(TABLE, FRAMES, 7), Poses3D.empty(COCO))
    assert [len(at.at(frame)) for frame in (0, 19, 25, 25, 49, 60, 61)] == [2, 2, 1, 1, 2, 0, 0]


def test_a_contact_sheet_has_every_moment_of_every_view():
    frames = spread_frames(FRAMES, 6)
    assert len(frames) == 6 and frames == sorted(frames) and spread_frames(2, 6) == [0, 1] and spread_frames(0, 6) == []
    sheet = ContactSheet(frames, RIG.names, RATE_HZ, height_px=90)
    for view in range(3):  # the fourth view has no pictures
        for frame in frames:
            sheet.add(frame, view, blank(value=10 * view + 5))
    for data in (sheet.png(), sheet.jpeg()):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[0] > 4 * 90 and image.shape[1] > 6 * 160
    counts = [(sheet.image() == value).all(-1).sum() for value in (5, 15, 25)]
    assert counts == [6 * 90 * 160] * 3
    with pytest.raises(ValueError, match="not on the sheet"):
        sheet.add(frames[0] + 1, 0, blank())
    assert ContactSheet([], [], 25.0).png().startswith(b"\x89PNG")


def collected(table=TABLE, frames=FRAMES, samples=2000, step=8):
    series, views = SeriesCollector(COCO, frames, RATE_HZ, samples), ViewResiduals(RIG, COCO)
    seen = detections(table, RIG) if len(table) else SEEN[:0]
    for chunk in chunked(table, frames, step):
        series.add(chunk)
        first, last = (chunk.frame.min(), chunk.frame.max()) if len(chunk) else (0, -1)
        series.add_residuals(views.add(seen[(seen.frame >= first) & (seen.frame <= last)], chunk))
    return series


def test_series_stay_short_and_true():
    series = collected(samples=20)
    assert (series.stride, series.samples) == (3, 17)
    first = series.people[1]
    hips = TABLE.xyz[(TABLE.person == 1) & (TABLE.frame % 3 == 0)][:, [COCO.index("left_hip"), COCO.index("right_hip")]]
    np.testing.assert_allclose(first.root, hips.mean(1), rtol=1e-5)
    np.testing.assert_allclose(first.present, 1)
    assert series.people[2].present[7] == 0 and series.people[2].present[6] == pytest.approx(2 / 3)
    one = TABLE[(TABLE.person == 1) & (TABLE.frame < 3)]
    assert first.error_px[0] == pytest.approx(float(np.nanmean(one.error_px)), rel=1e-5)
    assert set(series.error_by_view()) == {1, 2} and set(series.error_by_view()[1]) == {0, 1, 2, 3}
    whole = collected(samples=20, step=FRAMES)
    np.testing.assert_array_equal(whole.people[2].error_px, series.people[2].error_px)


@pytest.mark.parametrize("people", [TABLE, Poses3D.empty(COCO), TABLE[:1]], ids=["two", "nobody", "one row"])
def test_every_plot_is_a_picture(people):
    series = collected(people)
    for kind, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        made = [
            plots.plan_plot(series, RIG, kind),
            plots.elevation_plot(series, None, kind),
            plots.limb_length_plot(series, kind),
            plots.error_plot(series, RIG.names, kind),
            plots.presence_plot(series, kind),
        ]
        assert all(data.startswith(start) for data in made)
        if kind == "svg":
            for data in made:
                ElementTree.fromstring(data)


def test_plots_leave_no_trace_and_repeat():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    series = collected()
    assert plots.presence_plot(series) == plots.presence_plot(series)
    assert dict(mpl.rcParams) == before
