"""Plots of many views, long names and letters of every script: readable, in their frame, without a warning."""

import re
import warnings
from xml.etree import ElementTree

import pytest
from synthetic_take import COCO, RATE_HZ, ring_rig, truth
from walking_take import detections

from mvcap.reporting import plots
from mvcap.reporting.series import SeriesCollector
from mvcap.triangulation.reprojection_residuals import residuals

FRAMES = 20


def collected(views, people=2, frames=FRAMES):
    cameras, poses = ring_rig(views), truth(frames, people)
    series = SeriesCollector(COCO, frames, RATE_HZ)
    series.add(poses)
    series.add_residuals(residuals(detections(poses, cameras), poses, cameras))
    return series, cameras


def height_in(svg):
    return float(re.search(rb'height="([0-9.]+)pt"', svg)[1]) / 72


@pytest.mark.parametrize("views", [2, 8, 9, 16, 40])
def test_errors_of_any_number_of_views_are_drawn_without_a_warning(views):
    series, cameras = collected(views)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = plots.error_plot(series, cameras.names)
    ElementTree.fromstring(made)
    panel_in = height_in(made) / 2
    rows = views if views > 8 else views * 14 / 11  # a line of a legend is higher than a row
    assert panel_in > rows * 0.13 and len(made) < 1_000_000
    images = made.count(b"<image")
    assert (images >= 2) == (views > 8), "a map a person where colours do not suffice for lines"


def test_many_people_and_views_make_no_endless_plot(monkeypatch):
    monkeypatch.setattr(plots, "_ROWS_AT_MOST", 25)
    series, cameras = collected(10)
    series._people |= {10 + number: series._people[1] for number in range(9)}
    assert height_in(plots.error_plot(series, cameras.names)) < 2 * (10 * 0.16 + 0.6) + 1


def test_long_names_take_no_place_from_the_plot_and_stay_different():
    names = tuple(f"a_camera_with_a_long_name_{number}_on_the_left_wall_of_the_hall" for number in range(16))
    assert len(set(plots._labels(names))) == 16 and max(map(len, plots._labels(names))) < 30
    assert plots._labels(("cam1", "cam$_$")) == ["cam1", "cam$_$"]
    for views in (names, names[:8]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ElementTree.fromstring(plots.error_plot(collected(len(views))[0], views))


@pytest.mark.parametrize("views", [4, 40])
def test_cameras_are_named_where_there_is_room(views):
    series, cameras = collected(views)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan, side = plots.plan_plot(series, cameras), plots.elevation_plot(series, cameras)
    named = [sum(f"<!-- {name} -->".encode() in svg for name in cameras.names) for svg in (plan, side)]
    assert named[0] == views and (named[1] > 0) == (views == 4)
