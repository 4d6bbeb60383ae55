"""A fixed colour for each person id, from a palette that colour-blind people can distinguish."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]

# The palette of Okabe and Ito (Color Universal Design, 2008) without black, ordered so that neighbours differ most.
_PALETTE: tuple[Rgb, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
)
GREY: Rgb = (150, 150, 150)
_DARKER = 0.62


def colour(person: int) -> Rgb:
    """Return the RGB colour of a person id; ids beyond the palette repeat it, alternately darker; grey for -1."""
    if person < 0:
        return GREY
    turn, index = divmod(max(person - 1, 0), len(_PALETTE))
    red, green, blue = _PALETTE[index]
    factor = _DARKER if turn % 2 else 1.0
    return round(red * factor), round(green * factor), round(blue * factor)


def hexadecimal(person: int) -> str:
    """Return the colour of a person id as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour(person))


def ink(background: Rgb) -> Rgb:
    """Return black or white, whichever has the greater contrast ratio (WCAG 2) on a background."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 0.05 * 1.05 else (255, 255, 255)


def linear_rgb(encoded: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return linear colours (..., 3), 0 to 1, of sRGB ones, 0 to 255 (IEC 61966-2-1)."""
    share = np.asarray(encoded) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
