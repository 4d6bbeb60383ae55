"""Exposure, gain and white balance of GenICam cameras, by the names of the Standard Features Naming Convention."""

from __future__ import annotations

from typing import Any

from mvcap.errors import SourceError
from mvcap.sources.genicam_aravis import AUTO_CONTINUOUS, AUTO_OFF, AravisCamera
from mvcap.structures.camera_controls import AUTO, LOCK, CameraControls

_STEPS = {
    "exposure": ("exposure_time", "exposure_auto", "exposure_time_auto", 1000.0, "ms"),
    "gain": ("gain", "gain_auto", "gain_auto", 1.0, ""),
}
"""Control -> functions of Aravis for its value, whether it can be automatic, and that; its own units in ours."""
_KEYS = {"exposure": "exposure_ms", "gain": "gain"}
_WHITE = "BalanceWhiteAuto"


def set_camera_controls(
    camera: AravisCamera, controls: CameraControls
) -> tuple[dict[str, float | str], tuple[str, ...]]:
    """Set what is asked for; return what the camera then has, and what it could not do, a line each.

    SourceError for a value that is out of its range.
    """
    notes = []
    for name, asked in controls.asked.items():
        note = _set_white(camera, asked) if name == "white_balance" else _set(camera, name, asked)
        notes += [note] if note else []
    return _found(camera), tuple(notes)


def _set(camera: AravisCamera, name: str, asked: float | str) -> str:
    """Set exposure or gain; return why not."""
    value, automatic, mode, scale, unit = _STEPS[name]
    if not camera.ask(f"is_{value}_available"):
        return f"{name}: the camera has none that can be set"
    has_auto = bool(camera.ask(f"is_{automatic}_available"))
    if asked == AUTO:
        if not has_auto:
            return f"{name}: the camera has no automatic; it stays as it is"
        camera.call(f"set_{mode}", AUTO_CONTINUOUS)
        return ""
    if has_auto:
        camera.call(f"set_{mode}", AUTO_OFF)
    if asked != LOCK:
        wanted, bounds = float(asked) * scale, camera.bounds(f"get_{value}_bounds")
        if bounds is not None and not bounds[0] <= wanted <= bounds[1]:
            least, greatest = (f"{one / scale:g}" for one in bounds)
            raise SourceError(f"{name} {float(asked):g} {unit}".strip() + f" is not within {least} to {greatest}")
        camera.call(f"set_{value}", wanted)
    return ""


def _set_white(camera: AravisCamera, asked: float | str) -> str:
    """Set the automatic of the white balance; return why not."""
    if not camera.has(_WHITE):
        return "white_balance: the camera has none that can be set"
    if asked not in (AUTO, LOCK):
        return "white_balance: GenICam cameras have no colour temperature; give auto or lock. It stays as it is"
    camera.call("set_string", _WHITE.encode(), b"Continuous" if asked == AUTO else b"Off")
    return ""


def _found(camera: AravisCamera) -> dict[str, float | str]:
    """What the camera has now."""
    out: dict[str, Any] = {}
    for name, (value, automatic, mode, scale, _) in _STEPS.items():
        number = camera.ask(f"get_{value}") if camera.ask(f"is_{value}_available") else None
        if number is not None:
            out[_KEYS[name]] = number / scale
        if camera.ask(f"is_{automatic}_available"):
            out[f"{name}_auto"] = "off" if camera.ask(f"get_{mode}") == AUTO_OFF else "on"
    if camera.has(_WHITE):
        said = camera.ask("get_string", _WHITE.encode()) or b""
        out["white_balance_auto"] = "off" if said == b"Off" else "on"
        for colour in (b"Red", b"Blue"):
            if camera.has("BalanceRatioSelector") and camera.has("BalanceRatio"):
                camera.ask("set_string", b"BalanceRatioSelector", colour)
                ratio = camera.ask("get_float", b"BalanceRatio")
                if ratio is not None:
                    out[f"white_balance_{colour.decode().lower()}"] = ratio
    return out
