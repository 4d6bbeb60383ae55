"""Names of joints in other programs: which joint of ``mvcap.structures.skeleton`` a name means, and its other side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mvcap.structures.skeleton import SKELETONS

_SIDES = {"l": "left", "left": "left", "lt": "left", "r": "right", "right": "right", "rt": "right"}
_SIDED = {
    "shoulder": "shoulder", "sho": "shoulder", "shld": "shoulder", "elbow": "elbow", "elb": "elbow", "wrist": "wrist",
    "wri": "wrist", "hip": "hip", "knee": "knee", "kne": "knee", "ankle": "ankle", "ank": "ankle", "eye": "eye",
    "ear": "ear", "heel": "heel", "toe": "big_toe", "bigtoe": "big_toe", "hallux": "big_toe", "smalltoe": "small_toe",
    "littletoe": "small_toe",
}  # fmt: skip
_MIDDLE = {
    "nose": "nose", "neck": "neck", "pelvis": "pelvis", "midhip": "pelvis", "hipcenter": "pelvis",
    "hipcentre": "pelvis", "head": "head", "headtop": "head_top", "topofhead": "head_top", "headbottom": "head_bottom",
    "thorax": "thorax",
}  # fmt: skip
KNOWN_JOINTS = frozenset(joint for kind in SKELETONS.values() for joint in kind.joints)
"""Every joint that the skeletons of ``mvcap.structures.skeleton`` have."""


def known_joint(name: str) -> str | None:
    """Return the joint that a name of another program means, such as ``LShoulder``, ``hip_r`` or ``lkne``; or None."""
    if name in KNOWN_JOINTS:
        return name
    side, rest = _split_side(name)
    part = "".join(rest)
    if side:
        return f"{side}_{_SIDED[part]}" if part in _SIDED else None
    if part in _MIDDLE:
        return _MIDDLE[part]
    for word, long in _SIDES.items():  # words that are run together: lsho, shoulderright
        for inner in (part.removeprefix(word) if part.startswith(word) else "",
                      part.removesuffix(word) if part.endswith(word) else ""):  # fmt: skip
            if inner in _SIDED:
                return f"{long}_{_SIDED[inner]}"
    return None


def side_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the left and right name of every pair among names that differ only in a word for the side."""
    left: dict[tuple[str, ...], str] = {}
    right: dict[tuple[str, ...], str] = {}
    for name in names:
        side, rest = _split_side(name)
        if side:
            (left if side == "left" else right).setdefault(rest, name)
    return [(name, right[rest]) for rest, name in left.items() if rest in right]


def _split_side(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the side that one of the words of a name says, or None, and the other words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]
    sides = [word for word in words if word in _SIDES]
    if len(sides) != 1:
        return None, tuple(words)
    return _SIDES[sides[0]], tuple(word for word in words if word != sides[0])
