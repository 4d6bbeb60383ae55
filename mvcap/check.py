"""The verb ``check``: look for what is wrong with footage before it is used, and repair copies of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvcap.errors import InputError
from mvcap.footage_checks.exposure import check_exposure
from mvcap.footage_checks.file_damage import check_file, size_changes
from mvcap.footage_checks.findings import FootageFinding, by_severity
from mvcap.footage_checks.frame_times import check_times, compare_times, rate_segments
from mvcap.footage_checks.picture_series import PictureFacts
from mvcap.footage_checks.reading_process import Fallen, in_process, read_view
from mvcap.footage_checks.repair import CopyJob
from mvcap.footage_checks.same_camera import check_same_camera
from mvcap.footage_checks.still_pictures import check_frozen
from mvcap.footage_checks.view_reading import Decode, ReadingJob, ViewReading
from mvcap.init import sources_in
from mvcap.progress import Progress, silent
from mvcap.structures.footage import Footage
from mvcap.structures.image_folders import images_in, split_by_camera
from mvcap.structures.session import Session


@dataclass(frozen=True)
class CheckedView:
    """What a view's file holds.

    frames: pictures in it; looked_at: those that were decoded and compared; size (w, h) px as stored; seconds from the
    first to the last; readable: whether any picture can be decoded.
    """

    name: str
    path: str
    readable: bool
    frames: int
    looked_at: int
    size: tuple[int, int]
    rate_hz: float
    seconds: float
    codec: str
    whole: bool
    """Whether all pictures were to be decoded, not samples."""


@dataclass(frozen=True)
class RepairedFile:
    """What became of a file that needs repair: the copies, and the pictures in each; or why there is none.

    findings: what a check of the copies still finds in them.
    """

    view: str
    source: str
    copies: tuple[str, ...] = ()
    pictures: tuple[int, ...] = ()
    refused: str = ""
    findings: tuple[FootageFinding, ...] = ()


@dataclass(frozen=True)
class FootageCheck:
    """Result of the check: the views, what was found in them, and what was repaired if that was asked for."""

    views: tuple[CheckedView, ...]
    findings: tuple[FootageFinding, ...]
    repaired: tuple[RepairedFile, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing was found, or notes only."""
        return all(finding.severity == "note" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the check as plain values, for JSON."""
        return {
            "good": self.good,
            "views": [{**vars(view), "size": list(view.size)} for view in self.views],
            "findings": [finding.as_dict() for finding in self.findings],
            "repaired": [
                {**vars(one), "findings": [finding.as_dict() for finding in one.findings]} for one in self.repaired
            ],
        }


def check(
    sources: str | Path | Session | Sequence[str | Path],
    *,
    decode: Decode = "sampled",
    rate_hz: float | None = None,
    repair_to: str | Path | None = None,
    progress: Progress = silent,
) -> FootageCheck:
    """Look for truncated and damaged files, gaps, drift, frozen pictures, steps of exposure, two views of one camera.

    sources: a session, or footage as ``init`` takes it, of one view or more. decode: "all" pictures, or "sampled": all
    of a view of up to 3000, else 1.5 s at each of 16 to 32 moments, at the end, and where packets are smallest.
    rate_hz: rate of image folders. repair_to: folder for copies of the videos that can be repaired; all pictures are
    decoded then. Originals are only read. Each file is read in a process of its own, so that one that makes the decoder
    abort or hang is a finding. Raises InputError or SessionError: no footage there, or a copy exists already.
    """
    jobs, findings = _jobs(sources, "all" if repair_to is not None else decode, rate_hz)
    folder = None if repair_to is None else Path(repair_to)
    if folder is not None:
        _refuse_existing(folder, jobs)
    readings = [read_view(job, progress) for job in jobs]
    findings += _findings(readings)
    repaired = () if folder is None else tuple(_repairs(readings, findings, folder, progress))
    return FootageCheck(tuple(map(_facts, readings)), tuple(by_severity(findings)), repaired)


def _jobs(
    sources: str | Path | Session | Sequence[str | Path], decode: Decode, rate_hz: float | None
) -> tuple[list[ReadingJob], list[FootageFinding]]:
    """Return what to read, and whether the footage of a session is still that of which it was made."""
    given = sources if isinstance(sources, Session | str | Path) else list(sources)
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, str | Path) and (Path(given) / "session.yaml").exists():
        given = Session.open(given)
    if isinstance(given, Session):
        return _of_session(given, decode)
    views = sources_in(given)
    for view in views:
        if not view.path.exists():
            raise InputError(f"{view.path}: no such file or folder; check the path")
        if not view.path.is_dir():
            _readable(view.path)
    return [ReadingJob(view.name, view.path, view.files or (), decode, rate_hz) for view in views], []


def _readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); make it readable") from fault


def _of_session(session: Session, decode: Decode) -> tuple[list[ReadingJob], list[FootageFinding]]:
    if not session.has_footage():
        raise InputError(f"{session.folder}: the session has detections from files and no footage to check")
    jobs, findings = [], []
    for view in session.views:
        path = Path(view.path)
        if not path.exists():
            raise InputError(f"{path}: the footage of view {view.name!r} is missing; restore it")
        files: list[Path] = []
        if view.camera:
            cameras = [one.camera for one in session.views if one.path == view.path]
            files = split_by_camera(images_in(path), cameras).get(view.camera, [])
        elif path.is_dir():
            files = images_in(path)
        else:
            _readable(path)
        jobs.append(ReadingJob(view.name, path, tuple(files), decode, session.rate_hz))
        if _identity(path, files) != view.identity:
            findings.append(
                FootageFinding(
                    "changed", "error", (view.name,), f"{path} is not the file that the session was made of",
                    "put that file back, or make a new session with `mvcap init`",
                )
            )  # fmt: skip
    return jobs, findings


def _identity(path: Path, files: Sequence[Path]) -> str:
    """Return the identity of footage, which follows from its bytes alone."""
    import numpy as np

    kind = "images" if files else "video"
    none = np.zeros(0, np.int64)
    bare = Footage(path, kind, (0, 0), 1.0, none.astype(float), none, 0, "", none.reshape(0, 2), files=tuple(files))
    return bare.identity()


# What is wrong


def _findings(readings: Sequence[ViewReading]) -> list[FootageFinding]:
    out: list[FootageFinding] = []
    for reading in readings:
        out += check_file(reading)
        if reading.frames > 1 and not reading.backwards and len(reading.pictures):
            out += check_times(reading.name, reading.time_s)
    timed = {one.name: one.time_s for one in readings if one.frames and not one.backwards and len(one.pictures)}
    clocks = {one.clock for one in readings if one.name in timed}
    if {one.kind for one in readings} == {"video"}:
        out += compare_times(timed, shared_clock=len(clocks) == 1 and clocks != {""})
    pictures: dict[str, PictureFacts] = {one.name: one.pictures for one in readings if len(one.pictures)}
    return [*out, *check_frozen(pictures), *check_exposure(pictures), *check_same_camera(pictures)]


def _facts(reading: ViewReading) -> CheckedView:
    span = float(reading.time_s[-1] - reading.time_s[0]) if reading.frames > 1 else 0.0
    segments = rate_segments(reading.time_s) if reading.frames > 1 else []
    rate = max(segments, key=lambda one: one.stop - one.start).rate_hz if segments else 0.0
    return CheckedView(
        reading.name, str(reading.path), bool(len(reading.pictures)), reading.frames, len(reading.pictures),
        reading.size, rate, span, reading.codec, reading.whole,
    )  # fmt: skip


# Repair


def _refuse_existing(folder: Path, jobs: Sequence[ReadingJob]) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder for the copies")
    for job in jobs:
        if Path(job.name).name != job.name:
            raise InputError(f"{job.name!r}: a view whose copy is written needs a name without slashes")
        there = [folder / f"{job.name}.mkv", *sorted(folder.glob(f"{job.name}-part*.mkv"))]
        if found := next((path for path in there if path.exists()), None):
            raise InputError(f"{found}: exists already; give another folder for the copies, nothing is overwritten")


def _repairs(
    readings: Sequence[ViewReading], findings: Sequence[FootageFinding], folder: Path, progress: Progress
) -> list[RepairedFile]:
    """Write copies of what is repairable, check them again, and say why there is none of the others."""
    out = []
    for reading in readings:
        own = [one for one in findings if one.views == (reading.name,) and one.kind in _OF_FILES]
        if not any(one.repairable for one in own):
            if own:
                kinds = ", ".join(dict.fromkeys(one.kind for one in own))
                out.append(RepairedFile(reading.name, str(reading.path), refused=f"{kinds}: cannot be repaired here"))
            continue
        out.append(_repair(reading, folder, progress))
    return out


_OF_FILES = ("unreadable", "truncated", "damaged", "timestamps", "size change")
"""Kinds of findings that say that a file, and not what was filmed, is bad."""


def _repair(reading: ViewReading, folder: Path, progress: Progress) -> RepairedFile:
    facts = reading.pictures
    cuts = size_changes(facts)
    sizes = tuple((w, h) for w, h in facts.size[[0, *cuts]].tolist()) if len(cuts) else ()
    good_s = reading.good_s
    if not len(good_s):
        return RepairedFile(reading.name, str(reading.path), refused="no picture can be decoded without errors")
    cuts_s = tuple(facts.time_s[cuts].tolist())
    job = CopyJob(reading.path, folder, reading.name, float(good_s[0]), float(good_s[-1]), cuts_s, sizes)
    done = in_process(job, f"repair {reading.name}", progress)
    source = str(reading.path)
    if isinstance(done, Fallen):
        return RepairedFile(reading.name, source, refused=done.why)
    if isinstance(done, str):
        return RepairedFile(reading.name, source, refused=done)
    copies = [read_view(ReadingJob(path.stem, path, decode="all"), progress) for path in job.targets]
    lost = [] if not reading.rotation_deg else [one.name for one in copies if one.rotation_deg != reading.rotation_deg]
    left = [one for copy in copies for one in [*check_file(copy), *_own_times(copy)]]
    if lost:
        left.append(
            FootageFinding(
                "damaged", "warning", tuple(lost),
                f"the flag that turns its pictures by {reading.rotation_deg} degrees is lost",
                "turn the copy: ffmpeg -display_rotation DEGREES -i FILE -c copy out.mp4",
            )
        )  # fmt: skip
    return RepairedFile(reading.name, source, tuple(map(str, job.targets)), done, findings=tuple(by_severity(left)))


def _own_times(reading: ViewReading) -> list[FootageFinding]:
    return check_times(reading.name, reading.time_s) if reading.frames > 1 and len(reading.pictures) else []
