"""Small files of DeepLabCut and SLEAP with known points, as those programs (and pandas below them) lay them out."""

import pickle

import numpy as np

POINTS = ("nose", "LShoulder", "RShoulder", "LHip", "RHip", "LKnee", "RKnee")
SCORER = "DLC_resnet50_studioJun1shuffle1_100000"


def known_points(frames=4, people=2, seed=0):
    """Positions (T, P, J, 2) px and likelihoods (T, P, J) to three digits; person 2 is missing in frame 2."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(20, 600, (frames, people, len(POINTS), 2)).round(3)
    score = rng.uniform(0.2, 1, (frames, people, len(POINTS))).round(3)
    if people > 1 and frames > 2:
        xy[2, 1], score[2, 1] = np.nan, np.nan
    return xy, score


def dlc_columns(people, likelihood=True):
    """Names of the columns, each (scorer, individual, body part, coordinate); without individual for one person."""
    coords = ("x", "y", "likelihood")[: 3 if likelihood else 2]
    who = [(f"ind{one + 1}",) for one in range(people)] if people > 1 else [()]
    return [(SCORER, *one, part, c) for one in who for part in POINTS for c in coords]


def dlc_values(xy, score):
    """Values (T, columns) in the order of ``dlc_columns``; without likelihood where ``score`` is None."""
    parts = [xy] if score is None else [xy, score[..., None]]
    return np.concatenate(parts, axis=-1).reshape(len(xy), -1)


def write_dlc_csv(path, xy, score, index=None):
    names = dlc_columns(xy.shape[1], score is not None)
    index = [(str(n),) for n in range(len(xy))] if index is None else index
    levels = ("scorer", "bodyparts", "coords") if xy.shape[1] == 1 else ("scorer", "individuals", "bodyparts", "coords")
    pad = [""] * (len(index[0]) - 1)
    lines = [[level, *pad, *(name[at] for name in names)] for at, level in enumerate(levels)]
    lines += [[*at, *("" if np.isnan(v) else repr(float(v)) for v in row)]
              for at, row in zip(index, dlc_values(xy, score), strict=True)]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    return path


def write_dlc_table(path, xy, score, pickled=None):
    """An HDF5 file in pandas' format ``table``: column names are pickled."""
    import h5py

    values = dlc_values(xy, score)
    rows = np.zeros(len(xy), [("index", "<i8"), ("values_block_0", "<f8", (values.shape[1],))])
    rows["index"], rows["values_block_0"] = np.arange(len(xy)), values
    names = pickle.dumps(dlc_columns(xy.shape[1], score is not None), 0) if pickled is None else pickled
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        table = group.create_dataset("table", data=rows, chunks=True)
        table.attrs["values_block_0_kind"] = np.bytes_(names)
    return path


def write_dlc_fixed(path, xy, score, index=None):
    """An HDF5 file in pandas' format ``fixed``: levels and codes of the column names."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group.attrs["nblocks"] = 1
        _levels(group, "block0_items", list(zip(*dlc_columns(xy.shape[1], score is not None), strict=True)))
        group["block0_values"] = dlc_values(xy, score)
        if index is None:
            group["axis1"] = np.arange(len(xy))
        else:
            _levels(group, "axis1", list(zip(*index, strict=True)))
    return path


def _levels(group, axis, columns):
    group.attrs[f"{axis}_nlevels"] = len(columns)
    for number, texts in enumerate(columns):
        levels = sorted(set(texts))
        group[f"{axis}_level{number}"] = np.array([text.encode() for text in levels])
        group[f"{axis}_label{number}"] = np.array([levels.index(text) for text in texts], np.int8)


def write_sleap_h5(path, xy, score, dims=None):
    """An analysis file; ``dims``: order of the axes of ``tracks``, said in its attribute."""
    import h5py

    axes = ("track", "xy", "node", "frame") if dims is None else dims
    with h5py.File(path, "w") as file:
        file["tracks"] = np.moveaxis(xy, (0, 1, 2, 3), [axes.index(a) for a in ("frame", "track", "node", "xy")])
        rest = [axis for axis in axes if axis != "xy"]
        file["point_scores"] = np.moveaxis(score, (0, 1, 2), [rest.index(a) for a in ("frame", "track", "node")])
        file["node_names"] = [name.encode() for name in POINTS]
        file["track_names"] = [f"track_{n}".encode() for n in range(xy.shape[1])]
        if dims is not None:
            file["tracks"].attrs["dims"] = "[" + ", ".join(f'"{axis}"' for axis in dims) + "]"
            file["point_scores"].attrs["dims"] = "[" + ", ".join(f'"{axis}"' for axis in rest) + "]"
    return path


def write_sleap_csv(path, xy, score):
    head = ["track", "frame_idx", "instance.score", *(f"{p}.{c}" for p in POINTS for c in ("x", "y", "score"))]
    lines = [head]
    for frame, person in np.ndindex(xy.shape[:2]):
        cells = np.concatenate([xy[frame, person], score[frame, person, :, None]], axis=1).ravel()
        if np.isfinite(cells).any():
            lines.append([f"track_{person}", str(frame), "0.9", *(repr(float(v)) for v in cells)])
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    return path
