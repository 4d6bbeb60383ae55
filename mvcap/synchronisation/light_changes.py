"""Sudden changes of the light in a view's pictures, between frames, and by how much two views' changes are apart.

A change counts where the picture as a whole gets brighter or darker from one frame to the next: the median over cells
of small copies, which moving people do not change. Its time within the frame follows from how much of the change the
frame in between shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.footage_checks.picture_series import small_copy
from mvcap.structures.sync_evidence import CLOCK_RATE_SIGMA

_LEAST = 0.08  # change of the log of brightness
_BY_ITSELF = 8.0  # robust standard deviations of the view's own changes from frame to frame
_SETTLED = 4  # frames before and behind a change that tell whether it stays
_FLASH_FRAMES = 3
_OFFSET = 8.0  # levels, added before logs of dark cells are taken
_PHASE = 1 / np.sqrt(12)  # frames: exposure time and rolling shutter are unknown
_COINCIDENT = 1.25  # frames by which matched changes may be apart
_STEPS = 2  # changes that stay are also made by cameras' own exposure: one alone proves nothing
_Kind = Literal["flash", "on", "off"]


@dataclass(frozen=True)
class LightChange:
    """A change at time_s of the view; kind: flash = all as before within three frames. size: of the log."""

    time_s: float
    kind: _Kind
    size: float


@dataclass(frozen=True, eq=False)
class FlashOffset:
    """Delay of b against a: b's own time is offset_s + (1 + drift) * a's; sigmas; or the reason why there is none.

    delay_s, matched (S,): how many changes fit each delay that was tried. at_s: a's time at which offset_s holds.
    """

    delay_s: Floats
    matched: Floats
    offset_s: float = np.nan
    offset_sigma_s: float = np.nan
    drift: float = np.nan
    drift_sigma: float = np.nan
    at_s: float = 0.0
    rival_s: float = np.nan
    reason: str = ""


def brightness_of(images: Iterable[NDArray[np.uint8]]) -> Floats:
    """Return the log of brightness (T,) of RGB images (H, W, 3) as the sum of median changes between neighbours."""
    import cv2

    before: Floats | None = None
    level, out = 0.0, []
    for image in images:
        small = np.log(small_copy(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))) + _OFFSET)
        if before is not None and before.shape == small.shape:
            level += float(np.median(small - before))
        before = small.astype(np.float64)
        out.append(level)
    return np.array(out)


def light_changes(time_s: Floats, level: Floats) -> list[LightChange]:
    """Return the sudden changes in the log of brightness (T,) at times (T,) s, in order."""
    if len(level) < 2 * _SETTLED + 2:
        return []
    step = np.diff(level)
    sigma = 1.4826 * float(np.median(np.abs(step - np.median(step))))
    limit = max(_LEAST, _BY_ITSELF * sigma)
    out, at = [], _SETTLED
    while at < len(level) - _SETTLED:
        calm = float(np.median(level[at - _SETTLED : at]))
        if abs(level[at] - calm) < limit or abs(level[at] - level[at - 1]) < limit / 2:
            at += 1
            continue
        change, behind = _change(time_s, level, at, calm, limit)
        out.append(change)
        at = behind
    return out


def _change(time_s: Floats, level: Floats, at: int, calm: float, limit: float) -> tuple[LightChange, int]:
    """The change that begins at frame `at`, and the frame where the next may begin."""
    after = level[at + 1 : at + 1 + _FLASH_FRAMES]
    back = np.flatnonzero(np.abs(after - calm) < limit / 2)
    if len(back):
        last = at + 1 + int(back[0])
        lit = np.expm1(np.abs(level[at:last] - calm))
        middle = float((time_s[at:last] * lit).sum() / lit.sum())
        return LightChange(middle, "flash", float(np.abs(level[at:last] - calm).max())), last + 1
    settled = float(np.median(level[at + 1 : at + 1 + _SETTLED]))
    # Light adds up linearly: the share of the full change that the first changed frame shows.
    share = float(np.clip((np.exp(level[at]) - np.exp(calm)) / (np.exp(settled) - np.exp(calm)), 0, 1))
    interval = float(time_s[at] - time_s[at - 1])
    kind: _Kind = "on" if settled > calm else "off"
    return LightChange(float(time_s[at]) + (0.5 - share) * interval, kind, abs(settled - calm)), at + _SETTLED


def flash_offset(one: list[LightChange], other: list[LightChange], interval_s: float) -> FlashOffset:
    """Return the delay of the changes of `other` against those of `one`; interval_s: the longer frame interval.

    A delay is answered if more changes fit it than any other, by two at least or all of them: a single flash in each
    view, or a row of changes whose distances differ. Changes that stay need two.
    """
    tried = sorted({b.time_s - a.time_s for a in one for b in other if a.kind == b.kind})
    if not tried:
        return FlashOffset(np.zeros(0), np.zeros(0), reason="no change of the light is seen in both views")
    delay = np.array(tried)
    found = [_matches(one, other, at, interval_s) for at in tried]
    matched = np.array([len(pairs) for pairs in found], np.float64)
    best = int(matched.argmax())
    far = np.abs(delay - delay[best]) > 3 * _COINCIDENT * interval_s
    rival = int(np.where(far, matched, -1).argmax()) if far.any() else -1
    rival_s = float(delay[rival]) if rival >= 0 else np.nan
    count, next_count = int(matched[best]), int(matched[rival]) if rival >= 0 else 0
    pairs = found[best]
    flashes = sum(one[i].kind == "flash" for i, _ in pairs)
    most = max(len(one), len(other))
    if next_count and count < max(next_count + 2, 2 * next_count):
        reason = (
            f"delays of {delay[best]:+.2f} s and {rival_s:+.2f} s fit {count} and {next_count} changes of the light"
        )
    elif not flashes and count < _STEPS:
        reason = "one change of the light that stays proves nothing: a camera's exposure may have made it"
    elif 2 * count < most:
        reason = f"only {count} of {most} changes of the light fit"
    else:
        return _line(one, other, pairs, interval_s, (delay, matched, rival_s))
    return FlashOffset(delay, matched, rival_s=rival_s, reason=reason)


def _matches(
    one: list[LightChange], other: list[LightChange], delay: float, interval_s: float
) -> list[tuple[int, int]]:  # fmt: skip
    """Pairs of changes of one kind that are together at a delay, each used once."""
    out, start = [], 0
    for i, a in enumerate(one):
        near = _COINCIDENT * interval_s + 2 * CLOCK_RATE_SIGMA * (a.time_s - one[0].time_s)
        for j in range(start, len(other)):
            apart = other[j].time_s - a.time_s - delay
            if apart > near:
                break
            if abs(apart) <= near and a.kind == other[j].kind:
                out.append((i, j))
                start = j + 1
                break
    return out


def _line(
    one: list[LightChange], other: list[LightChange], pairs: list[tuple[int, int]], interval_s: float,
    tried: tuple[Floats, Floats, float],
) -> FlashOffset:  # fmt: skip
    """Least squares of delay and drift, with the prior of crystals; the phase of frames is common to all changes."""
    delay, matched, rival_s = tried
    at = np.array([one[i].time_s for i, _ in pairs])
    apart = np.array([other[j].time_s for _, j in pairs]) - at
    middle = float(at.mean())
    phase = np.sqrt(2) * _PHASE * interval_s
    since = at - middle
    precision = (since**2).sum() / phase**2 + 1 / (2 * CLOCK_RATE_SIGMA**2)
    drift = float((since * (apart - apart.mean())).sum() / phase**2 / precision)
    # Half of the variance lasts: exposure time and rolling shutter are the same for every change.
    sigma = phase * np.sqrt(0.5 + 0.5 / len(pairs))
    return FlashOffset(
        delay, matched, float(apart.mean()), float(sigma), drift, float(precision**-0.5), middle, rival_s
    )
