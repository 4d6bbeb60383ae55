"""Skeletons of a user's own, for labels and estimators whose joints are none of ``mvcap.structures.skeleton``.

A YAML file. Only ``joints`` is needed::

    name: studio                                   # default: the name of the file
    joints: [head, LSho, RSho, LHip, RHip, prop]   # in the order of the files
    body: {LSho: left_shoulder, RSho: right_shoulder}   # which joints are which of a body; default: by their names
    limbs: [[LSho, RSho], [head, LSho]]            # default: those of a body
    parents: {LSho: head}                          # or so: the parent of each joint
    pairs: [[LSho, RSho]]                          # left and right; default: by their names

``body`` may also be a list: only these are joints of the body, by their names. A joint of the body is called as in
``mvcap.structures.skeleton`` in every result, as ``left_shoulder``; any other joint keeps its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calib.bounded_files import bounded_text, parse_yaml, reason_of
from mvcap.errors import InputError
from mvcap.structures.joint_names import KNOWN_JOINTS, known_joint, side_pairs
from mvcap.structures.skeleton import ANNOTATOR_SIGMA, Skeleton, usual_bones

_KEYS = ("name", "joints", "body", "limbs", "parents", "pairs", "root")
_NEEDED = ("left_hip", "right_hip")
_MOST_JOINTS = 1000


def load_skeleton(path: str | Path) -> Skeleton:
    """Read a skeleton file; InputError names the file and what is wrong in it."""
    file = Path(path)
    try:
        document = parse_yaml(bounded_text(file))
    except (OSError, ValueError) as fault:
        raise InputError(f"{file}: cannot be read as a skeleton ({reason_of(fault)}); give a skeleton file") from fault
    try:
        return _skeleton_of(document, file.stem)
    except ValueError as fault:
        raise InputError(f"{file}: {fault}; correct the skeleton file") from fault


def skeleton_of_names(name: str, labels: Sequence[str], body: Mapping[str, str]) -> Skeleton:
    """Make a skeleton of joints named ``labels``, of which ``body`` says the known joint; bones are a body's.

    ValueError names what a skeleton of a person lacks.
    """
    joints = tuple(body.get(label) or _free_name(label) for label in labels)
    if twice := [joint for at, joint in enumerate(joints) if joint in joints[:at]]:
        raise ValueError(f"two joints are {twice[0]}")
    if lost := [joint for joint in _NEEDED if joint not in joints]:
        raise ValueError(
            f"no joint is {', '.join(lost)} (joints: {_shown(labels)}); say under 'body' which joints are these, as in "
            f"body: {{{labels[0]}: {lost[0]}}}"
        )
    pairs = tuple((a, b) for a, b in side_pairs(labels) if not {a, b} <= set(body))
    return Skeleton(name, joints, usual_bones(joints), _root(joints), tuple(labels), pairs)


def _skeleton_of(document: Any, stem: str) -> Skeleton:
    if not isinstance(document, dict):
        raise ValueError("a skeleton file has the key joints, a list of names")
    if unknown := [str(key) for key in document if key not in _KEYS]:
        raise ValueError(f"unknown key {_shown(unknown)}; the keys are {', '.join(_KEYS)}")
    labels = _names(document.get("joints"), "joints")
    made = skeleton_of_names(str(document.get("name") or stem), labels, _body(document.get("body"), labels))
    limbs = [_pair(pair, labels, "limbs") for pair in _listed(document.get("limbs"), "limbs")]
    limbs += [_pair([parent, child], labels, "parents") for child, parent in _parents(document.get("parents"))]
    pairs = [_pair(pair, labels, "pairs") for pair in _listed(document.get("pairs"), "pairs")]
    if len(ends := [end for pair in pairs for end in pair]) != len(set(ends)):
        raise ValueError("a joint is in two of the pairs")
    bones = np.array([[labels.index(a), labels.index(b)] for a, b in limbs], np.int64) if limbs else made.bones
    stated = {end for pair in pairs for end in pair}
    kept = [pair for pair in made.pairs if not stated & set(pair)]
    root = document.get("root")
    if root is not None and root not in labels:
        raise ValueError(f"root is {root!r}, which is none of the joints")
    root_joint = made.joints[labels.index(root)] if root is not None else made.root
    return Skeleton(made.name, made.joints, bones, root_joint, tuple(labels), (*kept, *pairs))


def _body(given: Any, labels: Sequence[str]) -> dict[str, str]:
    """Return the known joint of each label that is a joint of the body; ValueError for names that do not exist."""
    if given is None or isinstance(given, list):
        wanted = labels if given is None else _names(given, "body")
        found = {label: known_joint(label) for label in wanted}
        if given is not None and (lost := [label for label, joint in found.items() if joint is None]):
            raise ValueError(
                f"body: it is not known which joint {_shown(lost)} is; write body as {{{lost[0]}: left_shoulder}}"
            )
        body = {label: joint for label, joint in found.items() if joint is not None}
        if given is None:  # two names for one joint, such as toe and big toe: the first one is it
            body = {label: joint for at, (label, joint) in enumerate(body.items())
                    if joint not in list(body.values())[:at]}  # fmt: skip
    elif isinstance(given, dict):
        body = {str(label): str(joint) for label, joint in given.items()}
    else:
        raise ValueError("body maps names to joints, as in {LSho: left_shoulder}, or is a list of names")
    if lost := [label for label in body if label not in labels]:
        raise ValueError(f"body: {_shown(lost)} is none of the joints")
    if wrong := [joint for joint in body.values() if joint not in KNOWN_JOINTS]:
        raise ValueError(f"body: {_shown(wrong)} is no known joint; known are {', '.join(sorted(KNOWN_JOINTS))}")
    return body


def _free_name(label: str) -> str:
    """Return the name of a joint that is none of the body: its own, without words that mean a part of the body."""
    words = set(label.split("_"))
    of_body = {word for joint in (*KNOWN_JOINTS, *ANNOTATOR_SIGMA) for word in joint.split("_")}
    return label.replace("_", "-") + ("-point" if label in KNOWN_JOINTS else "") if words & of_body else label


def _root(joints: Sequence[str]) -> str:
    return next((name for name in ("pelvis", "left_hip") if name in joints), joints[0])


def _names(given: Any, key: str) -> list[str]:
    if not isinstance(given, list) or not given or not all(isinstance(name, str) and name.strip() for name in given):
        raise ValueError(f"{key} must be a list of names")
    if twice := [name for at, name in enumerate(given) if name in given[:at]]:
        raise ValueError(f"{key}: {twice[0]!r} is in it twice")
    if len(given) > _MOST_JOINTS:
        raise ValueError(f"{key}: {len(given)} names; at most {_MOST_JOINTS} are read")
    return list(given)


def _listed(given: Any, key: str) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise ValueError(f"{key} must be a list of pairs of joints, as in [[a, b], [b, c]]")
    return given


def _parents(given: Any) -> list[tuple[Any, Any]]:
    if given is not None and not isinstance(given, dict):
        raise ValueError("parents maps a joint to its parent, as in {knee: hip}")
    return [(child, parent) for child, parent in (given or {}).items() if parent is not None]


def _pair(given: Any, labels: Sequence[str], key: str) -> tuple[str, str]:
    if not isinstance(given, list) or len(given) != 2 or given[0] == given[1]:
        raise ValueError(f"{key}: {given!r} is not a pair of joints")
    if lost := [str(name) for name in given if name not in labels]:
        raise ValueError(f"{key}: {_shown(lost)} is none of the joints")
    return str(given[0]), str(given[1])


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
