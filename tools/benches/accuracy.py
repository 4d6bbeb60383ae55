"""Association and poses on benchmarks with truth: ours, baselines on the same detections, and what others state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches import stated
from benches.section import Options, Row, Section, say

ASSOCIATORS = {
    "mvcap geometry": "geometry",
    "epipolar distance + Hungarian": "benches.baselines.epipolar_hungarian:EpipolarHungarian",
    "mvpose SVT, no re-ID": "benches.baselines.svt_matching:SvtMatching",
    "pairwise triangulate-and-group": "benches.baselines.pairwise:Pairwise",
}
FEWER = {4: (0, 1, 2, 3), 3: (0, 1, 2), 2: (0, 2)}
"""Views of Shelf that are left, by how many; each set is turned round, which makes four more of it."""
MEASURED = (
    "rows that say `measured` are of this run: the associator named, then our triangulate, track and refine, on the "
    "same detections (the baselines' authors triangulate with plain DLT; ours favours them); `stated` rows are not of "
    "this run, on all 301 frames, and with triangulation of their own; `published` ones have other detections too. "
    "PCP: mean of actors 1 to 3 in percent; association: pairs of person detections; s a frame: CPU, association and "
    "triangulation, files included"
)


def accuracy(options: Options) -> Section:
    """All benchmarks whose data are there."""
    section = Section("accuracy: the same detections, other associators", MEASURED)
    of_recordings(section, options, shelf, mvor, campus)
    return section


def of_recordings(section: Section, options: Options, *tables: Callable[[Section, Path, Options], None]) -> None:
    """Fill in the tables of Shelf, MVOR and Campus, in this order, whose data are there; tell which are not."""
    for table, place in zip(tables, ("shelf_dev", "mvor_dev", "motion/campus"), strict=True):
        folder = options.data / place
        if folder.is_dir():
            table(section, folder, options)
        else:
            section.facts.append(f"{table.__name__} left out: no folder {folder}; give --data FOLDER or set MVCAP_DATA")


def evaluated(kind: str, folder: Path, associator: str, **how: Any) -> Any:
    """Scores of the pipeline with this associator."""
    import mvcap

    return mvcap.evaluate(kind, folder, overrides={"associator": associator}, **how)


def shelf(section: Section, folder: Path, options: Options) -> None:
    """Shelf with all views beside what others state, and with views left out."""
    names: list[str] = []
    for who, associator in ASSOCIATORS.items():
        say(f"shelf, {who}")
        scores = evaluated("shelf", folder, associator)
        names = scores["views"]
        section.add("Shelf, 5 views", {"who": f"{who}, measured", **parts(scores)})
    for row in stated.SHELF:
        section.add("Shelf, 5 views", row)
    for count, places in FEWER.items():
        turns = range(1 if options.quick else len(names))
        sets = [sorted({names[(place + turn) % len(names)] for place in places}) for turn in turns]
        for who, associator in ASSOCIATORS.items():
            say(f"shelf, {count} views, {who}")
            rows = [parts(evaluated("shelf", folder, associator, views=views)) for views in sets]
            section.add(f"Shelf, views left out, mean of {len(sets)} sets",
                        {"who": f"{count} views: {who}", **mean(rows)})  # fmt: skip


def mean(rows: list[Row]) -> Row:
    """Means of the figures of rows, over those that have one."""
    known = {key: [row[key] for row in rows if row[key] is not None] for key in rows[0]}
    return {key: sum(values) / len(values) if values else None for key, values in known.items()}


def parts(scores: Any) -> Row:
    """What Shelf is measured by."""
    rules = {f"PCP {rule}": scores["pcp"][rule]["average"] for rule in ("4da", "voxelpose")}
    actors = {f"{rule} {number}": value for rule in ("4da", "voxelpose")
              for number, value in enumerate(scores["pcp"][rule]["actors"][:3], 1)}  # fmt: skip
    return {**rules, **actors, **pairs(scores), **rest(scores)}


def pairs(scores: Any) -> Row:
    """Association by pairs of person detections."""
    told = scores["association"]
    return {"precision": told["precision"], "recall": told["recall"], "F1": told["f1"]}


def rest(scores: Any) -> Row:
    """Who is found at all, who has no truth, and what it cost."""
    return {"recall@500": scores["recall_500"], "unmatched a frame": scores["unmatched_people_per_frame"],
            "s a frame": scores["seconds_per_frame"]}  # fmt: skip


def mvor(section: Section, folder: Path, options: Options) -> None:
    """MVOR with its labels in 2D and with OpenPose's detections."""
    for detections in ("labels", "openpose"):
        for who, associator in ASSOCIATORS.items():
            say(f"mvor, {detections}, {who}")
            scores = evaluated("mvor", folder, associator, detections=detections)
            row = {"who": f"{detections}: {who}, measured", **pairs(scores), "MPJPE mm": scores["mpjpe_mm"]}
            section.add("MVOR", row | rest(scores))


def campus(section: Section, folder: Path, options: Options) -> None:
    """Campus from its truth in 2D with noise of 1, 2 and 4 px."""
    for who, associator in ASSOCIATORS.items():
        row: Row = {"who": f"{who}, measured"}
        for noise in (1, 2, 4):
            say(f"campus, {noise} px, {who}")
            scores = evaluated("campus", folder, associator, noise_px=float(noise))
            row |= {f"{noise} px": scores["pcp"]["voxelpose"]["average"], f"F1 {noise} px": pairs(scores)["F1"]}
        section.add("Campus, truth in 2D and noise: PCP, VoxelPose's rule", row)
    for row in stated.CAMPUS:
        section.add("Campus, truth in 2D and noise: PCP, VoxelPose's rule", row)
