"""Kalibr's `camchain.yaml`: cam0, cam1, ..., each placed by T_cn_cnm1 from the one before; metres.

Keys (source: Kalibr's description of the file): camera_model pinhole, intrinsics [fu, fv, pu, pv], distortion_model
radtan (k1 k2 p1 p2), equidistant (OpenCV's fisheye) or none, distortion_coeffs, resolution [w, h], T_cn_cnm1 4x4:
x_cn = T x_cnm1. The world is cam0. Kalibr has no names: they are written as `name`, which other readers skip.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calib.arrays import Floats
from calib.bounded_files import parse_yaml
from calib.camera import Camera
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import (
    Sizes,
    camera,
    damaged,
    head_of,
    is_absent,
    mapping,
    naming,
    needed,
    numbers,
    refuse_lenses,
    text_of,
    write_text,
)
from calib.formats.parts import rig as rig_of
from calib.geometry import invert
from calib.rig import Rig

DECLARES_UNIT = True
_COUNTS = {"radtan": 4, "plumb_bob": 4, "equidistant": 4, "equi": 4, "none": 0}


def sniff(path: Path) -> bool:
    """Whether the file is YAML with Kalibr's keys."""
    head = head_of(path)
    return path.suffix.lower() in (".yaml", ".yml") and "cam0:" in head and "distortion_coeffs" in head


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in metres, its world that of cam0; the file holds the image sizes, so `size` does not count."""
    try:
        # OpenCV's first line, which some writers add, is not a YAML directive.
        text = "\n".join(line for line in text_of(path).splitlines() if not line.startswith("%YAML"))
        document = parse_yaml(text)
    except ValueError as error:
        raise damaged(path, error) from None
    top = mapping(document, path, "the file")
    keys = sorted((key for key in top if re.fullmatch("cam[0-9]{1,6}", key)), key=lambda key: int(key[3:]))
    if [int(key[3:]) for key in keys] != list(range(len(keys))):
        raise RigFileError(f"{path}: {', '.join(keys)} are not a chain from cam0 on; export the file again")
    sections = {key: mapping(top[key], path, key) for key in keys}
    breaks = [index for index, key in enumerate(keys) if index and is_absent(sections[key].get("T_cn_cnm1"))]
    end = breaks[0] if breaks else len(keys)  # all that is placed from there on hangs on a camera without a place
    lost = [str(sections[key].get("name", key)) for key in keys[end:]]
    return rig_of(path, _cameras({key: sections[key] for key in keys[:end]}), lost)


def _cameras(sections: dict[str, dict[str, object]]) -> Iterator[Camera]:
    cam_from_world = np.eye(4)
    for key, section in sections.items():
        name = str(section.get("name", key))
        if key != "cam0":
            step = numbers(needed(section, "T_cn_cnm1", name), (4, 4), f"camera {name!r}: T_cn_cnm1")
            cam_from_world = step @ cam_from_world
        model = needed(section, "camera_model", name)
        if model != "pinhole":
            raise CalibrationError(
                f"camera {name!r}: camera_model {model!r} is not read; calibrate with pinhole models"
            )
        kind = str(section.get("distortion_model", "none"))
        bent = numbers(section.get("distortion_coeffs") or [], (-1,), f"camera {name!r}: distortion_coeffs")
        if kind not in _COUNTS or bent.size != _COUNTS[kind]:
            raise CalibrationError(
                f"camera {name!r}: distortion_model {kind!r} with {bent.size} coefficients is not read; calibrate with "
                f"pinhole-radtan or pinhole-equi"
            )
        fu, fv, pu, pv = numbers(needed(section, "intrinsics", name), (4,), f"camera {name!r}: intrinsics")
        K = [[fu, 0, pu], [0, fv, pv], [0, 0, 1]]
        R, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
        yield camera(name, needed(section, "resolution", name), K, bent, R, t, fisheye=kind.startswith("equi"))


def lost(rig: Rig) -> list[str]:
    """What a chain does not hold of a rig."""
    first = rig[0]
    if np.abs(first.cam_from_world - np.eye(4)).max() < 1e-12:
        return []
    return [f"the world: a Kalibr chain has none, so origin and up become those of its first camera {first.name!r}"]


def write(rig: Rig, path: Path) -> None:
    """Write the chain in the rig's order; RigFileError for a lens that it cannot hold."""
    import yaml

    refuse_lenses(rig, path, "Kalibr", ("pinhole", "fisheye"), skew=False)
    document: dict[str, object] = {}
    before: Floats | None = None
    for number, one in enumerate(rig):
        with naming(path):
            section = _section(one)
        if before is not None:
            section["T_cn_cnm1"] = (one.cam_from_world @ invert(before)).tolist()
        document[f"cam{number}"] = section
        before = one.cam_from_world
    write_text(path, yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True, width=200))


def _section(one: Camera) -> dict[str, object]:
    lens = one.lens
    if lens.model == "pinhole" and lens.distortion[4:].any():
        raise CalibrationError(
            f"camera {one.name!r}: Kalibr's radtan has no fifth coefficient, which is {lens.distortion[4]:g}; "
            "write rig, toml or opencv, or calibrate with four"
        )
    K, bent = lens.K, lens.distortion[:4]
    section: dict[str, object] = {
        "name": one.name,
        "camera_model": "pinhole",
        "intrinsics": [float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])],
        "distortion_model": "equidistant" if lens.model == "fisheye" else "radtan",
        "distortion_coeffs": bent.tolist() or [0.0] * 4,
        "resolution": list(one.size),
    }
    return section
