"""SMPL: a user's own file in the layout of SMPL, SMPL-H or SMPL-X, whose licence is the user's; none comes with mvcap.

Layout: M. Loper et al., "SMPL: A Skinned Multi-Person Linear Model", ACM Transactions on Graphics 34(6), 2015. An npz
holds v_template (V, 3) m, shapedirs (V, 3, S), J_regressor (J, V), weights (V, J), kintree_table (2, J), f (F, 3) and,
if it has them, posedirs (V, 3, 9 (J - 1)). The first 22 joints are those of SMPL, y up, looking to +z. Pickles can run
any code and are not read. Vertices of nose, eyes, ears and feet of the 6890 of SMPL: the package smplx, vertex_ids.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from calib.bounded_arrays import bounded_arrays, check_array
from calib.bounded_files import reason_of
from mvcap.errors import InputError
from mvcap.structures.skinned_body import LinearPoints, SkinnedBody

_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
_GROUP = {"pelvis": ("pelvis", 1.0), "spine1": ("spine", 1 / 3), "spine2": ("spine", 1 / 3), "spine3": ("spine", 1 / 3),
          "neck": ("neck", 0.5), "head": ("neck", 0.5)}  # fmt: skip
_LIMB = {"hip": "thigh", "knee": "shank", "ankle": "foot", "collar": "shoulder", "shoulder": "arm", "elbow": "forearm"}
_VERTEX = {"nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583,
           "left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387, "right_big_toe": 6617,
           "right_small_toe": 6624, "right_heel": 6787}  # fmt: skip
_SMPL_VERTICES = 6890
_MOST_SHAPES = 10
_MOST_BONES = 4
_NEEDED = ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table", "f")
Y_UP_TO_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
"""Rotation from the axes of the file to those of ``SkinnedBody``."""
_CONVERT = (
    "pickles can run any code and are not read; convert it once, with Python and what the file needs (scipy, chumpy): "
    "d = pickle.load(open(FILE, 'rb'), encoding='latin1'); numpy.savez('smpl.npz', **{k: numpy.asarray(d[k].todense() "
    "if hasattr(d[k], 'todense') else d[k]) for k in ('v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights', "
    "'kintree_table', 'f')})"
)


def load(file: Path | None = None) -> SkinnedBody:
    """Return the body of a file; InputError where there is none, or for one that is damaged or of another layout."""
    if file is None:
        raise InputError("the body model smpl needs your own file of it: give --smpl FILE.npz, or --body capsules")
    if file.suffix.lower() in (".pkl", ".pickle"):
        raise InputError(f"{file}: {_CONVERT}")
    try:
        arrays = bounded_arrays(file, (*_NEEDED, "posedirs"))
        if missing := [name for name in _NEEDED if name not in arrays]:
            raise ValueError(f"it has no {', '.join(missing)}")
        return _body(arrays)
    except OSError as fault:
        raise InputError(f"{file}: cannot be read ({reason_of(fault)}); check the path") from fault
    except ValueError as fault:
        raise InputError(f"{file}: not a body in the layout of SMPL ({reason_of(fault)})") from fault


def _body(arrays: dict[str, NDArray[np.generic]]) -> SkinnedBody:
    template, weight, regressor, parents = _checked(arrays)
    count, bones = len(template), len(parents)
    shapes = np.moveaxis(np.asarray(arrays["shapedirs"], np.float64), -1, 0)[:_MOST_SHAPES] @ Y_UP_TO_Z_UP.T
    vertices = LinearPoints(template @ Y_UP_TO_Z_UP.T, shapes)
    heads = LinearPoints(regressor @ vertices.mean, np.einsum("bv,svx->sbx", regressor, shapes))
    names = _NAMES + tuple(f"bone{index}" for index in range(len(_NAMES), bones))
    bone_of = np.argsort(-weight, 1, kind="stable")[:, :_MOST_BONES]
    strongest = np.take_along_axis(weight, bone_of, 1)
    pose = None
    if "posedirs" in arrays:
        check_array("posedirs", arrays["posedirs"], (count, 3, 9 * (bones - 1)), "fiu")
        pose = _turned_pose_basis(np.asarray(arrays["posedirs"], np.float64), bones)
    joint_names, joints = _joints(vertices, heads, names)
    return SkinnedBody(
        "smpl", vertices, np.asarray(arrays["f"]).astype(np.int64), heads, tuple(parents.tolist()), names,
        tuple(_group_of(name) for name in names), bone_of, strongest / strongest.sum(1, keepdims=True), joint_names,
        joints, pose, scalable=False,
    )  # fmt: skip


def _checked(arrays: dict[str, NDArray[np.generic]]) -> tuple[Floats, Floats, Floats, Ints]:
    """Template (V, 3), weights (V, J), regressor (J, V) and parents (J,), all shapes and indices checked."""
    count = len(arrays["v_template"]) if arrays["v_template"].ndim else 0
    bones = arrays["kintree_table"].shape[-1] if arrays["kintree_table"].ndim else 0
    shapes = arrays["shapedirs"].shape[-1] if arrays["shapedirs"].ndim else 0
    if not count or bones < len(_NAMES):
        raise ValueError(f"it has {count} vertices and {bones} joints; SMPL has at least {len(_NAMES)} joints")
    for name, shape in (("v_template", (count, 3)), ("shapedirs", (count, 3, shapes)), ("weights", (count, bones)),
                        ("J_regressor", (bones, count)), ("kintree_table", (2, bones))):  # fmt: skip
        check_array(name, arrays[name], shape, "fiu")
        if not np.isfinite(np.asarray(arrays[name], np.float64)).all():
            raise ValueError(f"{name} has values that are not finite")
    check_array("f", arrays["f"], (len(arrays["f"]), 3), "iu")
    if np.asarray(arrays["f"]).min(initial=0) < 0 or np.asarray(arrays["f"]).max(initial=0) >= count:
        raise ValueError("f names vertices that it does not have")
    parents = np.asarray(arrays["kintree_table"])[0].astype(np.uint32).astype(np.int32).astype(np.int64)
    parents[0] = -1
    if not ((parents[1:] >= 0) & (parents[1:] < np.arange(1, bones))).all():
        raise ValueError("kintree_table does not give each joint a parent before it")
    weight = np.asarray(arrays["weights"], np.float64)
    if weight.min() < -1e-6 or not (weight.sum(1) > 0.5).all():
        raise ValueError("weights are below 0, or a vertex has none")
    template, regressor = (np.asarray(arrays[name], np.float64) for name in ("v_template", "J_regressor"))
    return template, np.maximum(weight, 0), regressor, parents


def _turned_pose_basis(given: Floats, bones: int) -> Floats:
    """Pose blend shapes (9 (J - 1), V, 3) for rotations and vertices in our axes."""
    by_entry = given.reshape(len(given), 3, bones - 1, 3, 3)
    turned = np.einsum("xy,vyjab,ca,db->jcdvx", Y_UP_TO_Z_UP, by_entry, Y_UP_TO_Z_UP, Y_UP_TO_Z_UP, optimize=True)
    return np.ascontiguousarray(turned.reshape(9 * (bones - 1), len(given), 3))


def _joints(
    vertices: LinearPoints, heads: LinearPoints, names: tuple[str, ...]
) -> tuple[tuple[str, ...], LinearPoints]:
    """Joints of skeletons: heads of bones, vertices of the head and feet where they are known, midpoints."""
    rows: dict[str, tuple[Floats, Floats]] = {}
    for name in names[: len(_NAMES)]:
        if name.partition("_")[2] in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
            rows[name] = heads.mean[names.index(name)], heads.basis[:, names.index(name)]
    if len(vertices.mean) == _SMPL_VERTICES:
        rows |= {name: (vertices.mean[at], vertices.basis[:, at]) for name, at in _VERTEX.items()}
    for middle, part in (("pelvis", "hip"), ("neck", "shoulder")):
        one, other = rows[f"left_{part}"], rows[f"right_{part}"]
        rows[middle] = 0.5 * (one[0] + other[0]), 0.5 * (one[1] + other[1])
    mean, basis = zip(*rows.values(), strict=True)
    return tuple(rows), LinearPoints(np.stack(mean), np.stack(basis, 1))


def _group_of(name: str) -> tuple[str, float]:
    side, _, part = name.partition("_")
    return _GROUP.get(name) or ((f"{side}_{_LIMB[part]}", 1.0) if part in _LIMB else ("", 0.0))
