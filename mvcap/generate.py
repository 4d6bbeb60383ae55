"""The verb ``generate``: datasets with ground truth, from recorded takes."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calib import Rig
from mvcap import plugins
from mvcap.config import build, plain
from mvcap.datasets.composites import Composer, CompositeConfig
from mvcap.datasets.datasheet import write_datasheet
from mvcap.datasets.ground_truth import SPLITS, DatasetFormat, GroundTruth, followed
from mvcap.datasets.output_folder import built_folder
from mvcap.datasets.pose_maps import MapsConfig, check_targets, write_targets
from mvcap.datasets.quality_gates import GateConfig
from mvcap.datasets.recorded import TRUTH, RecordedConfig, RecordedTake, store_frames, stored_frames, write_frames
from mvcap.datasets.splits import SplitConfig
from mvcap.errors import InputError, PluginError
from mvcap.export import provenance
from mvcap.progress import Progress, silent
from mvcap.structures.npz import write_text
from mvcap.structures.session import Session
from mvcap.version import __version__

_METHOD = (
    "Poses were reconstructed from all views, refined over time, and projected into every view with the lens'",
    "distortion. A joint has truth where it passes the quality gates. What hides it follows from capsules of human",
    "size along all bodies, in depth order. Positions are metres in the world, z up.",
)

_COMPOSITE_METHOD = (
    "",
    "Each person was cut out of a picture by a mask, turned about the camera's vertical and scaled about the camera's",
    "centre, under which the picture stays true; the nearest body is seen at each pixel. Clothes may have another",
    "colour. Brightness and shadows are those of the recordings. See composites.json.",
)


@dataclass(frozen=True)
class GeneratedDataset:
    """What ``generate`` wrote."""

    folder: Path
    formats: tuple[str, ...]
    sheet: Mapping[str, Any]
    """The content of datasheet.json."""


def generate(
    session: str | Path | Session,
    out: str | Path,
    *,
    formats: Iterable[str] = ("coco",),
    every: int = 1,
    images: str = "jpg",
    masks: str = "auto",
    blur_faces: bool = False,
    gates: Mapping[str, Any] | None = None,
    splits: Mapping[str, Any] | None = None,
    targets: Iterable[str] = (),
    licence: str | None = None,
    progress: Progress = silent,
) -> GeneratedDataset:
    """Write a dataset with the refined poses of a session as ground truth, and return what was written.

    out: a new folder. formats: names of the kind ``dataset_format`` of ``plugins.TABLE``, ``"package.module:Class"``,
    or "all". every: use the frames whose number it divides. images: "jpg", "png" or "none". masks: "auto" (those of the
    session, else of the bodies' volumes), "volumes" or "none". blur_faces: make heads in the images unrecognisable.
    gates: settings of ``GateConfig``; splits: of ``SplitConfig``. targets: maps for training of each image, "heatmaps",
    "paf" and "orpm". licence: stated in the datasheet.
    All is written into a temporary folder beside ``out``, renamed at the end; one frame at a time is in memory.
    Raises InputError for a session without footage, people or truth, or an ``out`` with content; ConfigError for a
    setting that does not exist, SessionError if a stage is missing or the disk is full.
    """
    session = Session.of(session)
    writers, maps = dataset_writers(formats, session.rig, images != "none"), check_targets(targets)
    asked = {"every": every, "images": images, "masks": masks, "blur_faces": blur_faces}
    config = build(RecordedConfig, asked, "generate")
    config = replace(
        config, gates=build(GateConfig, gates or {}, "gates"), splits=build(SplitConfig, splits or {}, "splits")
    )
    with built_folder(Path(out)) as folder:
        take = RecordedTake(session, config)
        truth = write_frames(take, folder, progress)
        truth = replace(truth, about={"licence": licence}, name=_plain_name(truth.name))
        facts = {
            "licence": licence,
            "dropped_frames": {why: count for why, count in take.gates.counts.frames.items() if why not in SPLITS},
            "gates": take.gates.counts.table(),
            "masks": dict(take.mask_sources),
            "images_left_out_for_faces": take.unblurred,
            "method": _METHOD,
            "settings": plain(config),
            "provenance": {"mvcap": __version__, "python": platform.python_version(), **_origin(session)},
        }
        sheet = _finish(truth, folder, writers, maps, facts, progress)
    return GeneratedDataset(Path(out), tuple(writers), sheet)


def generate_composites(
    sessions: Iterable[str | Path | Session],
    out: str | Path,
    count: int,
    *,
    formats: Iterable[str] = ("coco",),
    backgrounds: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    gates: Mapping[str, Any] | None = None,
    splits: Mapping[str, Any] | None = None,
    targets: Iterable[str] = (),
    licence: str | None = None,
    progress: Progress = silent,
) -> GeneratedDataset:
    """Write a dataset of composites: people of several sessions in one picture, in true depth order, with exact truth.

    sessions: reconstructed, with masks; the first one's cameras take the pictures. count: how many composites.
    backgrounds: a folder of pictures; default the room of the first session without people. settings: of
    ``CompositeConfig``; the others as of ``generate``. ``composites.json`` says who is in each picture, from where.
    Raises InputError for sessions without footage or masks, and where not enough people fit into a picture.
    """
    opened = [Session.of(session) for session in sessions]
    if not opened or count < 1:
        raise InputError("composites need at least one session, and a count of 1 or more")
    writers, maps = dataset_writers(formats, opened[0].rig, True), check_targets(targets)
    config = build(CompositeConfig, settings or {}, "composite")
    config = replace(
        config, gates=build(GateConfig, gates or {}, "gates"), splits=build(SplitConfig, splits or {}, "splits")
    )
    with built_folder(Path(out)) as folder:
        made = Composer(opened, config, Path(backgrounds) if backgrounds is not None else None)
        store_frames(made.composites(count), folder, made.rig.names, config.images, count, progress)
        write_text(folder / "composites.json", json.dumps(made.records, indent=1) + "\n")
        truth = GroundTruth(
            _plain_name(f"{opened[0].folder.resolve().name}_composites"), made.skeleton, made.rig, None,
            stored_frames(folder), folder, f".{config.images}", about={"licence": licence},
        )  # fmt: skip
        facts = {
            "licence": licence,
            "method": (*_METHOD, *_COMPOSITE_METHOD),
            "settings": plain(config) | {"backgrounds": Path(backgrounds).name if backgrounds is not None else None},
            "provenance": {
                "mvcap": __version__,
                "python": platform.python_version(),
                "session": ", ".join(session.folder.resolve().name for session in opened),
                "sessions": [_origin(session) for session in opened],
            },
        }
        sheet = _finish(truth, folder, writers, maps, facts, progress)
    return GeneratedDataset(Path(out), tuple(writers), sheet)


def _finish(
    truth: GroundTruth,
    folder: Path,
    writers: Mapping[str, DatasetFormat],
    maps: tuple[str, ...],
    facts: Mapping[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Write formats, training targets and datasheet of a dataset whose frames are stored; return the datasheet."""
    frames = sum(1 for _ in truth.frames())
    write_targets(followed(truth, progress, "targets", frames), maps, MapsConfig())
    for name, writer in writers.items():
        writer.write(followed(truth, progress, name, frames), folder / name)
    sheet = write_datasheet(folder, truth, {**facts, "formats": list(writers), "targets": list(maps)})
    shutil.rmtree(folder / TRUTH)
    return sheet


def dataset_writers(formats: Iterable[str], rig: Rig | None = None, images: bool = True) -> dict[str, DatasetFormat]:
    """Return the formats by name; InputError without any, PluginError for one that does not exist.

    With a rig, InputError for a format that cannot hold its cameras, or that needs images where there are none.
    """
    wanted = list(dict.fromkeys(formats))
    wanted = list(plugins.TABLE["dataset_format"]) if "all" in wanted else wanted
    if not wanted:
        raise InputError(f"no format of the dataset; there are: {', '.join(plugins.TABLE['dataset_format'])}, or all")
    out: dict[str, DatasetFormat] = {}
    for name in wanted:
        made = plugins.find_plugin("dataset_format", name)()
        if not callable(getattr(made, "write", None)):
            raise PluginError(f"dataset_format {name!r} has no method 'write'")
        if rig is not None and callable(check := getattr(made, "check", None)):
            check(rig, images)
        out[name.partition(":")[0].rpartition(".")[2]] = made
    return out


def _plain_name(name: str) -> str:
    """The session's name as part of the names of files."""
    return name.removesuffix(".mvcap").replace(" ", "_") or "take"


def _origin(session: Session) -> dict[str, Any]:
    rig = session.rig
    return {
        "session": session.folder.resolve().name,
        "footage": {view.name: view.identity for view in session.views},
        "take": session.identity,
        "rig": {"sha256": session.rig_identity, "cameras": list(rig.names)},
        "notes": list(session.notes),
        "stages": _without_places(provenance(session)),
    }


def _without_places(value: Any) -> Any:
    """Settings of stages as plain values; of files and folders their names only, as a dataset is passed on."""
    if isinstance(value, Mapping):
        return {str(key): _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(inner) for inner in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value if isinstance(value, str | int | float | bool | None) else str(value)
