"""Names of cameras in any script give plots without warnings and without boxes."""

import warnings

import pytest

from calib.report import glyphs
from calib.report.plots import figure_bytes, in_report_style, new_figure


@in_report_style
def drawn(names):
    figure, panels = new_figure(2.0)
    axes = panels[0, 0]
    for place, name in enumerate(names):
        axes.plot([0, 1], [place, place], label=name)
        axes.annotate(name, (0, place))
    axes.set_yticks(range(len(names)), names)
    axes.set_title(" ".join(names))
    axes.legend()
    return figure_bytes(figure)


@pytest.mark.parametrize("names", [["カメラ1", "左", "みぎ"], ["카메라", "камера"], ["कैमरा", "\U0001f3a5", "Kamera ü"]])
def test_names_in_any_script_are_drawn_without_a_warning(names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(names).startswith(b"\x89PNG")


def test_letters_that_no_font_has_are_spelled_and_stay_distinct(monkeypatch):
    monkeypatch.setattr(glyphs, "_font_of", lambda letter: "DejaVu Sans" if letter in "üк" else None)
    assert glyphs.drawable("カメラー1") == "kamera-1" and glyphs.drawable("みぎ") == "migi"
    assert glyphs.drawable("한") == "han" and glyphs.drawable("cam ü к") == "cam ü к"
    assert glyphs.drawable("左") == "u5de6" != glyphs.drawable("右")
    assert glyphs.fonts_for("ab") == glyphs.fonts_for("左")[:1]


def test_a_font_that_has_the_letters_is_used():
    assert glyphs.drawable("Kamera ü, камера, ½") == "Kamera ü, камера, ½"
    assert glyphs.fonts_for("камера")[0] == glyphs.fonts_for("a")[0]
