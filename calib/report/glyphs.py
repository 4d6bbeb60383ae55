"""Names in any script in plots: drawn with a font that has their letters, else spelled in Latin ones."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPELLED = ("KATAKANA LETTER ", "HIRAGANA LETTER ", "HANGUL SYLLABLE ")
_LONG_VOWEL = "\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}"
_NO_FONTS = ("last resort", "stix", "cmb", "cmex", "cmmi", "cmr", "cmss", "cmsy", "cmtt", "math", "dejavu")


def draw_all_names(figure: Figure) -> None:
    """Give every text of a figure a font that has its letters; spell letters that no installed font has."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):  # labels that were given
                given = [label.get_text() for label in axis.get_ticklabels()]
                if not "".join(given).isascii():
                    shown = [drawable(text) for text in given]
                    axis.set_ticks(axis.get_ticklocs(), shown, fontfamily=fonts_for("".join(shown)))
    for text in figure.findobj(Text):
        if isinstance(text, Text) and not text.get_text().isascii():
            text.set_text(drawable(text.get_text()))
            text.set_fontfamily(fonts_for(text.get_text()))


def drawable(text: str) -> str:
    """The text with letters that no installed font has spelled: kana and Hangul by sound, others by their number."""
    return "".join(_spelled(letter) if not letter.isascii() and _font_of(letter) is None else letter for letter in text)


def fonts_for(text: str) -> list[str]:
    """Font families that together have the letters of a text, the usual one first."""
    more = (_font_of(letter) for letter in text if not letter.isascii())
    return list(dict.fromkeys([_usual(), *(font for font in more if font is not None)]))


def _spelled(letter: str) -> str:
    if letter == _LONG_VOWEL:
        return "-"
    name = unicodedata.name(letter, "")
    if name.startswith(_SPELLED):
        return name.rsplit(" ", 1)[1].lower()
    plain = unicodedata.normalize("NFKD", letter)
    return plain if plain.isascii() else f"u{ord(letter):04x}"


def _usual() -> str:
    from matplotlib import font_manager

    return font_manager.FontProperties().get_name()


@lru_cache(maxsize=4096)
def _font_of(letter: str) -> str | None:
    """The family of a font that has a letter, the usual one where it does; None where none has."""
    from matplotlib import font_manager

    usual = _usual()
    if ord(letter) in _letters(font_manager.findfont(usual)):
        return usual
    for entry in font_manager.fontManager.ttflist:
        if entry.name.lower().startswith(_NO_FONTS):
            continue
        if ord(letter) in _letters(entry.fname):
            return str(entry.name)
    return None


@lru_cache(maxsize=256)
def _letters(file: str) -> frozenset[int]:
    """The numbers of the letters that a font file has; none where it cannot be read."""
    from matplotlib import font_manager

    try:
        return frozenset(font_manager.get_font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
