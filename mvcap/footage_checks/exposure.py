"""Finds steps of the brightness of the whole picture: exposure, gain or light that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.findings import FootageFinding, Severity
from mvcap.footage_checks.picture_series import PictureFacts

Floats = NDArray[np.float64]
_SETTLED_S = 0.2
_BY_ITSELF = 6.0  # standard deviations of the view's own variation
_LEAST = 0.05  # relative: less is not seen, and does not change what detectors find
_LARGE = 0.2
_TOGETHER_S = 0.5


@dataclass(frozen=True)
class BrightnessStep:
    """From picture ``at`` on all is brighter by the factor ``ratio``; sigma: the view's own variation of it."""

    at: int
    ratio: float
    sigma: float


def brightness_steps(facts: PictureFacts) -> list[BrightnessStep]:
    """Return the steps of a view's brightness.

    The logs of the ratio between neighbours are summed up; a step is the median of 0.2 s behind a picture minus that
    before it. It counts from 6 robust standard deviations of the same figure over the take, and from 5 %, on. A flash,
    behind which all is as before, is none.
    """
    out: list[BrightnessStep] = []
    parts = []
    for number in np.unique(facts.stretch):
        rows = np.flatnonzero(facts.stretch == number)
        level = np.cumsum(np.nan_to_num(facts.gain[rows]))
        width = _width(facts.time_s[rows])
        if len(rows) >= 2 * width:
            windows = np.median(np.lib.stride_tricks.sliding_window_view(level, width), axis=1)
            parts.append((rows[width : len(rows) - width + 1], windows[width:] - windows[:-width], width))
    if not parts:
        return []
    every = np.concatenate([step for _, step, _ in parts])
    sigma = 1.4826 * float(np.median(np.abs(every - np.median(every))))
    limit = max(_BY_ITSELF * sigma, _LEAST)
    for rows, step, width in parts:
        size = np.abs(step)
        while (size > limit).any():
            top = int(size.argmax())
            near = np.arange(max(0, top - width // 2), min(len(rows), top + width // 2 + 1))
            at = near[np.nan_to_num(np.abs(facts.gain[rows[near]])).argmax()]
            out.append(BrightnessStep(int(rows[at]), float(np.exp(step[top])), sigma))
            size[max(0, top - 2 * width) : top + 2 * width + 1] = 0.0
    return sorted(out, key=lambda step: step.at)


def _width(time_s: Floats) -> int:
    interval_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0
    return max(3, round(_SETTLED_S / interval_s)) if interval_s > 0 else 3


def check_exposure(views: Mapping[str, PictureFacts]) -> list[FootageFinding]:
    """Return the steps of every view's brightness, and whether the other views have them, too."""
    steps = {name: brightness_steps(facts) for name, facts in views.items()}
    times = {name: np.array([views[name].time_s[one.at] for one in found]) for name, found in steps.items()}
    out = []
    for name, found in steps.items():
        for step in found:
            at_s = float(views[name].time_s[step.at])
            with_it = [n for n, t in times.items() if n != name and (np.abs(t - at_s) < _TOGETHER_S).any()]
            out.append(_step(name, at_s, step, with_it, len(views)))
    return out


def _step(name: str, at_s: float, step: BrightnessStep, with_it: list[str], views: int) -> FootageFinding:
    percent = 100 * (step.ratio - 1)
    everywhere = views > 1 and len(with_it) == views - 1
    severity: Severity = "warning" if abs(np.log(step.ratio)) > _LARGE and not everywhere else "note"
    who = "so do all views: the light of the room" if everywhere else "the camera's exposure or gain, or a lamp"
    return FootageFinding(
        "exposure", severity, (name,),
        f"the whole picture gets {abs(percent):.0f} % {'brighter' if percent > 0 else 'darker'} ({who}); usual within "
        f"as long: {100 * step.sigma:.2g} %",
        "people are found all the same; for masks and point clouds set exposure, gain and white balance to manual",
        at_s, at_s, {"ratio": step.ratio, "usual": step.sigma},
    )  # fmt: skip
