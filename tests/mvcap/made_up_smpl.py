"""A made-up body in the layout of SMPL: small octahedra about 24 joints, y up, looking to +z."""

import numpy as np

JOINTS = np.array([
    (0, 0.94, 0), (0.09, 0.90, 0), (-0.09, 0.90, 0), (0, 1.05, 0), (0.1, 0.50, 0), (-0.1, 0.50, 0), (0, 1.18, 0),
    (0.1, 0.09, -0.02), (-0.1, 0.09, -0.02), (0, 1.28, 0), (0.11, 0.03, 0.1), (-0.11, 0.03, 0.1), (0, 1.45, 0),
    (0.07, 1.38, 0), (-0.07, 1.38, 0), (0, 1.58, 0.02), (0.18, 1.40, 0), (-0.18, 1.40, 0), (0.46, 1.40, -0.02),
    (-0.46, 1.40, -0.02), (0.72, 1.40, 0), (-0.72, 1.40, 0), (0.8, 1.4, 0), (-0.8, 1.4, 0),
])  # fmt: skip
PARENTS = np.array([2**32 - 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21], np.uint32)
_CORNERS = 0.04 * np.concatenate([np.eye(3), -np.eye(3)])
_FACES = np.array([(0, 1, 2), (1, 3, 2), (3, 4, 2), (4, 0, 2), (1, 0, 5), (3, 1, 5), (4, 3, 5), (0, 4, 5)])


def arrays(with_pose=True):
    """Arrays of the file: shapes stretch the height, the width and, a little, everything."""
    vertices = (JOINTS[:, None] + _CORNERS).reshape(-1, 3)
    count, bones = len(vertices), len(JOINTS)
    owner = np.repeat(np.arange(bones), 6)
    rng = np.random.default_rng(0)
    shapes = np.stack([0.05 * vertices * (0, 1, 0), 0.05 * vertices * (1, 0, 0), 0.02 * vertices], -1)
    weights = 0.8 * np.eye(bones)[owner] + 0.2 * np.eye(bones)[np.maximum(PARENTS.astype(np.int32), 0)[owner]]
    out = {
        "v_template": vertices, "shapedirs": shapes, "J_regressor": np.eye(bones)[owner].T / 6, "weights": weights,
        "kintree_table": np.stack([PARENTS, np.arange(bones, dtype=np.uint32)]),
        "f": (_FACES + 6 * np.arange(bones)[:, None, None]).reshape(-1, 3).astype(np.uint32),
    }  # fmt: skip
    return {**out, "posedirs": 0.003 * rng.normal(size=(count, 3, 9 * (bones - 1)))} if with_pose else out


def save(path, **changed):
    """Write the file and return its path; changed: arrays instead of its own, None to leave one out."""
    held = {**arrays(), **changed}
    np.savez(path, **{name: values for name, values in held.items() if values is not None})
    return path


def posed(held, turns, root):
    """Vertices (V, 3) by the formulas of SMPL's paper, in its axes: turns (J, 3, 3) to parents, root (3,) m."""
    vertices = held["v_template"] + held["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    joints = held["J_regressor"] @ held["v_template"]
    world = []
    for bone, parent in enumerate(PARENTS.astype(np.int32).tolist()):
        one = np.eye(4)
        one[:3, :3] = turns[bone]
        one[:3, 3] = root if parent < 0 else joints[bone] - joints[parent]
        world.append(one if parent < 0 else world[parent] @ one)
    for bone, one in enumerate(world):
        one[:3, 3] -= one[:3, :3] @ joints[bone]
    blended = np.einsum("vj,jab->vab", held["weights"], np.stack(world))
    return np.einsum("vab,vb->va", blended[:, :3, :3], vertices) + blended[:, :3, 3]
