"""Assigns the cameras of a rig to views, and fits their lenses to the size of the images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from calib.camera import Camera, Lens
from calib.errors import RigMismatchError
from calib.rig import Rig

_CROP_PX = 16  # codecs pad and recorders crop to whole blocks of 16


def match_views(
    rig: Rig, view_names: Sequence[str], *, allow_extra: bool = False, names: Mapping[str, str] | None = None
) -> Rig:
    """The rig with its cameras in the order of the views, found by name, never by position.

    A view's camera is the one that `names` (view -> camera) gives, else the one of the same name, else the only one of
    the same name apart from case. Raises RigMismatchError, which lists both sides, where a view has no camera, or a
    camera no view unless `allow_extra`.
    """
    camera_names = names or {}
    found = {view: _camera_of(rig, camera_names.get(view, view)) for view in view_names}
    lost_views = [view for view in view_names if found[view] is None]
    taken = [name for name in found.values() if name is not None]
    lost_cameras = [name for name in rig.names if name not in taken]
    if lost_views or (lost_cameras and not allow_extra) or len(set(taken)) < len(view_names):
        where = f" of {rig.source}" if rig.source else ""
        raise RigMismatchError(
            f"views without a camera: {_listed(lost_views)}; cameras{where} without a view: {_listed(lost_cameras)}; "
            f"views are {_listed(view_names)}; give views and cameras the same names, once each"
            + ("" if lost_views else ", or pass --subset to leave cameras out")
        )
    return rig.select(taken)


def _camera_of(rig: Rig, name: str) -> str | None:
    if name in rig.names:
        return name
    alike = [other for other in rig.names if other.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20]) or "none"
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def fit_to_images(rig: Rig, sizes: Mapping[str, tuple[int, int]], *, scale: bool = False) -> tuple[Rig, list[str]]:
    """The rig for images of the sizes (w, h) px given by camera name, and one line for each changed camera.

    A lens of the same size stays; a difference below 16 px at the right and bottom counts as cropped or padded; another
    size of the same shape is scaled if `scale` is set. Raises RigMismatchError for anything else.
    """
    if strangers := sorted(set(sizes) - set(rig.names)):
        raise RigMismatchError(
            f"images without a camera: {_listed(strangers)}; cameras are {_listed(rig.names)}; match views first"
        )
    cameras: list[Camera] = []
    notes: list[str] = []
    for camera in rig:
        lens, note = _fitted(camera.lens, sizes.get(camera.name, camera.size), scale)
        cameras.append(camera if lens is camera.lens else replace(camera, lens=lens))
        notes += [note] if note else []
    return replace(rig, cameras=tuple(cameras)), notes


def _fitted(lens: Lens, size: tuple[int, int], scale: bool) -> tuple[Lens, str]:
    size = (int(size[0]), int(size[1]))
    if size == lens.size:
        return lens, ""
    both = f"camera {lens.name!r}: calibrated at {_times(lens.size)}, images are {_times(size)}"
    if _near(size, lens.size):
        return lens.cropped(size), f"{both}: treated as cropped or padded at the right and bottom"
    factor = size[0] / lens.size[0]
    if _near(size, (lens.size[0] * factor, lens.size[1] * factor), 1):
        if scale:
            return replace(lens.scaled(factor), size=size), f"{both}: scaled by {factor:g}"
        raise RigMismatchError(f"{both}, {factor:g} times as large; pass --rig-scale if they were resized, not cropped")
    if _near(size[::-1], lens.size):
        raise RigMismatchError(f"{both}, width and height swapped; turn the videos as they were at calibration")
    raise RigMismatchError(f"{both}; give the calibration of these images, or calibrate again at their size")


def _near(size: tuple[int, ...], other: tuple[float, ...], below: float = _CROP_PX) -> bool:
    return all(abs(a - b) < below for a, b in zip(size, other, strict=True))


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
