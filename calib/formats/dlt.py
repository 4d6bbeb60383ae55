"""DLT coefficients, `dltCoefs.csv` of DLTdv, easyWand and Argus; only read.

Eleven rows, a column a camera: u = (L1 x + L2 y + L3 z + L4) / (L9 x + L10 y + L11 z + 1), v likewise with L5..L8
(Abdel-Aziz and Karara 1971). The matrix is decomposed into K, R, t (RQ decomposition; Hartley and Zisserman, 6.2.4).
What differs: a lens without distortion; pixels counted from 1, as MATLAB does; v may rise upwards from the lower edge,
which is recognised by a mirrored matrix, given that the origin lies in front of the camera, as it does where it was
measured. Neither the image size nor the unit is in the file: give the size. Cameras are cam1, cam2, ... Source: the
papers; not tested on a real file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from calib.arrays import Floats
from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError
from calib.formats.parts import Sizes, head_of, is_absent, numbers, size_for, text_of
from calib.formats.parts import rig as rig_of
from calib.geometry import pose
from calib.rig import Rig

DECLARES_UNIT = False
_ROWS = 11
_FIRST_PX = 1.0


def sniff(path: Path) -> bool:
    """Whether the file is CSV that begins with numbers."""
    first = head_of(path).lstrip("\ufeff \r\n\t").partition("\n")[0]
    return path.suffix.lower() == ".csv" and bool(first) and all(_is_number(word) for word in first.split(","))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read(path: Path, size: Sizes = None) -> Rig:
    """The rig in the unit of the file; `size` has to be given."""
    rows = [line.split(",") for line in text_of(path).splitlines() if line.strip()]
    if len(rows) != _ROWS or len({len(row) for row in rows}) != 1:
        raise RigFileError(f"{path}: DLT coefficients are {_ROWS} rows with a column a camera, not {len(rows)} rows")
    columns = {f"cam{number}": column for number, column in enumerate(zip(*rows, strict=True), 1)}
    unplaced = [name for name, column in columns.items() if is_absent(column)]
    return rig_of(path, _cameras({name: one for name, one in columns.items() if name not in unplaced}, size), unplaced)


def _cameras(columns: Mapping[str, Sequence[str]], sizes: Sizes) -> Iterator[Camera]:
    for name, column in columns.items():
        listed = numbers(column, (_ROWS,), f"camera {name!r}: its DLT coefficients")
        width, height = size_for(name, sizes)
        P = np.append(listed, 1.0).reshape(3, 4)
        if np.linalg.det(P[:, :3]) < 0:  # v rises: count it from the upper edge
            P[1] = (height + _FIRST_PX) * P[2] - P[1]
        P[:2] -= _FIRST_PX * P[2]
        K, cam_from_world = _decompose(name, P)
        yield Camera(Lens(name, (width, height), K, np.zeros(0)), cam_from_world)


def _decompose(name: str, P: Floats) -> tuple[Floats, Floats]:
    """K (3, 3) and cam_from_world (4, 4) of a projection matrix (3, 4) with the origin in front of the camera."""
    # RQ by the QR of the matrix with its rows reversed.
    Q, U = np.linalg.qr(P[::-1, :3].T)
    K, R = U.T[::-1, ::-1], Q.T[::-1]
    signs = np.where(np.diag(K) < 0, -1.0, 1.0)
    K, R = K * signs, R * signs[:, None]
    if not K[2, 2] > 1e-12 or not K[0, 0] > 1e-9 * K[2, 2] or np.linalg.det(R) < 0:
        raise CalibrationError(f"camera {name!r}: its DLT coefficients describe no camera; calibrate it again")
    # With K[2, 2] = 1 the last row is the depth, positive at the origin because its DLT coefficient is 1.
    return np.triu(K / K[2, 2]), pose(R, np.linalg.solve(K, P[:, 3]))
