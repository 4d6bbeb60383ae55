"""Plots of the report: files of a stated size, equal for equal data, and none where there is nothing to plot."""

import re
import struct
from dataclasses import replace
from functools import cache

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from made_calibrations import CASES, NAN
from matplotlib.figure import Figure

from calib.report import plots
from calib.report.plots import figure_bytes, in_report_style, new_figure, plain_log


@cache
def made(name):
    return CASES[name]()


@cache
def drawn(plot, name):
    """A plot of one of the calibrations."""
    return plot(made(name))


def png_size(data):
    """Width and height of a PNG by its header."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def picture(data):
    """RGB (H, W, 3) of a PNG, as signed numbers."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def share_of(data, tint):
    """Share of the pixels in which a colour ("red" or "blue") clearly exceeds the other."""
    red, _, blue = np.moveaxis(picture(data), -1, 0)
    return float(((red - blue if tint == "red" else blue - red) > 40).mean())


def test_a_dollar_in_a_name_is_only_a_dollar():
    @in_report_style
    def plot():
        """A plot."""
        figure, ((axes,),) = new_figure(1.0)
        for name in ("cam$_$", "a$b$c", "$x^$", "\\frac"):
            axes.plot([0, 1], label=name)
        axes.legend()
        return figure_bytes(figure, "png")

    assert png_size(plot())


# --- how plots are made ----------------------------------------------------------------------------------------------


def test_a_plot_is_drawn_in_the_report_s_style_and_leaves_that_of_the_caller():
    seen = {}

    @in_report_style
    def plot(word, *, times):
        """A plot."""
        seen["grid"] = mpl.rcParams["axes.grid"]
        return times * word

    with mpl.rc_context({"axes.grid": False, "font.size": 23.0}):
        assert plot(b"ab", times=2) == b"abab" and plot.__doc__ == "A plot."
        assert seen["grid"] is True and mpl.rcParams["axes.grid"] is False and mpl.rcParams["font.size"] == 23.0


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_figures_make_equal_files(kind):
    @in_report_style
    def plot():
        figure, panels = new_figure(1.0, width=1.0, layout=None)
        panels[0, 0].plot([1, 2, 3])
        return figure_bytes(figure, kind)

    first, second = plot(), plot()
    assert first == second and b"<dc:date>" not in first


def test_a_file_has_the_inches_of_its_figure():
    figure, panels = new_figure(2.0, 2, 1, width=4.0, layout=None)
    assert isinstance(figure, Figure) and panels.shape == (2, 1)
    assert png_size(figure_bytes(figure, dpi=20)) == (80, 40)
    assert new_figure(1.0)[0].get_size_inches().tolist() == [plots.WIDTH, 1.0]


@pytest.mark.parametrize(
    ("low", "high", "labels"), [(0.02, 0.9, {"0.02", "0.05", "0.1", "0.2", "0.5"}), (0.01, 900, {"0.01", "1", "100"})]
)
def test_logarithmic_axes_have_plain_numbers_and_few_of_them(low, high, labels):
    figure, panels = new_figure(3.0, width=4.0, layout=None)
    axes = panels[0, 0]
    axes.set(xscale="log", xlim=(low, high))
    plain_log(axes.xaxis, high / low)
    figure.canvas.draw()
    shown = [tick.get_text() for tick in axes.xaxis.get_ticklabels() if tick.get_text()]
    assert labels <= set(shown) and len(shown) < 12
    assert not [tick.get_text() for tick in axes.xaxis.get_ticklabels(minor=True) if tick.get_text()]


# --- errors ----------------------------------------------------------------------------------------------------------


def test_errors_that_are_not_known_are_not_plotted():
    assert plots.predicted_and_measured(made("broken")) is None


def test_without_halves_only_the_distribution_is_plotted():
    accuracy = made("good").accuracy
    holes = np.where(np.arange(len(accuracy.places)) % 2, NAN, accuracy.predicted_m)
    both = plots.predicted_and_measured(replace(made("good"), accuracy=replace(accuracy, predicted_m=holes)))
    one = plots.predicted_and_measured(made("thin"))
    assert [len(re.findall(rb'id="axes_\d', data)) for data in (both, one)] == [2, 1]
    assert not re.search(rb"\bnan\b", both)


# --- cameras ---------------------------------------------------------------------------------------------------------


def lines_in(data):
    return len(re.findall(rb'<g id="line2d_\d+"', data))


def test_the_graph_has_a_line_for_each_pair_and_a_dot_for_each_camera():
    assert lines_in(drawn(plots.pair_graph, "good")) == len(made("good").pairs) + 4 == 10
    assert lines_in(drawn(plots.pair_graph, "thin")) == len(made("thin").pairs) + 4 == 7


def test_cameras_that_nothing_connects_are_red():
    red = plots.RED.encode()
    assert red not in drawn(plots.pair_graph, "good") and red in drawn(plots.pair_graph, "thin")


def test_pairs_of_the_tree_are_drawn_thicker_the_more_moments_they_share():
    good = made("good")
    pairs = [replace(pair, in_tree=index == 0, moments=40) for index, pair in enumerate(good.pairs)]
    data = plots.pair_graph(replace(good, pairs=tuple(pairs)))
    widths = [float(width) for width in re.findall(rb"stroke-width: ([\d.]+); stroke-linecap: round", data)]
    assert sorted(widths) == [2.5] * 5 + [5.0]


def test_one_camera_has_no_graph():
    assert plots.pair_graph(made("alone")) is None


# --- moments and target ----------------------------------------------------------------------------------------------


def test_moments_are_blue_where_used_and_red_where_seen_for_nothing():
    used, lost = drawn(plots.moments, "good"), drawn(plots.moments, "broken")
    assert png_size(used)[0] == round(plots.WIDTH * 110)
    assert share_of(used, "blue") > 0.1 > share_of(used, "red")
    assert share_of(lost, "red") > 0.1 and share_of(lost, "blue") < 0.001


def test_more_cameras_make_a_higher_plot_of_moments():
    heights = [png_size(drawn(plots.moments, name))[1] for name in ("broken", "good")]
    assert heights[1] - heights[0] == pytest.approx((4 - 2) * 0.26 * 110, abs=2)


def test_without_moments_there_is_no_plot_of_them():
    good = made("good")
    none = replace(good, observations=good.observations.at(np.arange(0)), used=good.used[:, :0])
    assert plots.moments(none) is None


def test_only_a_shape_that_was_estimated_is_plotted():
    assert plots.target_shape(made("good")) is None and plots.target_shape(made("people")) is None
    bent = plots.target_shape(made("pieces"))
    assert bent.startswith(b"<?xml")
    flat = replace(made("pieces"), points=made("pieces").observations.target.points)
    assert plots.target_shape(flat) is None
