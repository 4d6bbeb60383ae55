"""Findings on a view's file: cut short, damaged, with bad times, or with pictures of several sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.findings import FootageFinding, Severity, counted, listed_times
from mvcap.footage_checks.picture_series import PictureFacts
from mvcap.footage_checks.view_reading import ViewReading

_FEW = 0.01  # of the pictures at a time that another has: they are left out


def check_file(reading: ViewReading) -> list[FootageFinding]:
    """Return what is wrong with a file, as far as reading it shows."""
    if reading.refused:
        return [_refused(reading)]
    if not reading.frames or not len(reading.pictures):
        return [_empty(reading)]
    out = [*_cut(reading), *_damage(reading), *_times(reading), *_sizes(reading)]
    if reading.bad_files:
        out.append(_bad_files(reading))
    return out


def _refused(reading: ViewReading) -> FootageFinding:
    advice = "copy it again from the camera or recorder; if it is so there, too, this view is lost"
    if reading.no_index:
        advice = (
            "this cannot be repaired here; a tool that rebuilds the index of an mp4 with the help of a whole file of "
            "the same camera and settings (such as untrunc) may recover it; keep the file"
        )
    kind = "truncated" if reading.no_index else "unreadable"
    return FootageFinding(kind, "error", (reading.name,), f"{reading.path}: {reading.refused}", advice)


def _empty(reading: ViewReading) -> FootageFinding:
    what = "holds no picture that can be decoded"
    if not reading.frames and reading.untimed:
        what = f"has no times for its {reading.untimed} pictures"
    what += f" ({reading.stopped})" if reading.stopped else ""
    if reading.missing_bytes:
        what += f"; {reading.missing_bytes} bytes are missing at its end"
    advice = "copy it again from the camera or recorder"
    if not reading.frames and reading.untimed:
        advice = "put it into a container that has times: ffmpeg -r RATE -i FILE -c copy out.mkv"
    return FootageFinding("unreadable", "error", (reading.name,), f"{reading.path}: {what}", advice)


def _cut(reading: ViewReading) -> list[FootageFinding]:
    good_s = reading.good_s
    last_s = float(good_s[-1]) if len(good_s) else float(reading.pictures.time_s[0])
    tail = int((reading.bad_s > last_s).sum())
    if not reading.missing_bytes and not reading.stopped and not tail:
        return []
    why = [f"at least {reading.missing_bytes} bytes are missing at its end"] if reading.missing_bytes else []
    why += [f"reading stops: {reading.stopped}"] if reading.stopped else []
    if tail and not why:
        why = [f"the last {counted(tail, 'picture')} cannot be decoded without errors"]
    readable = len(good_s) if reading.whole else int((reading.time_s <= last_s).sum())
    return [
        FootageFinding(
            "truncated", "error", (reading.name,),
            f"{'; '.join(why)}; {counted(readable, 'picture')} can be read, up to {last_s:.3f} s",
            "copy it again; if the original is cut, too, --repair writes what can be read",
            last_s, None, {"readable": readable, "last_s": last_s, "missing_bytes": reading.missing_bytes}, True,
        )
    ]  # fmt: skip


def _damage(reading: ViewReading) -> list[FootageFinding]:
    bad, good_s = reading.bad_s, reading.good_s
    if len(good_s):  # those behind the last are the end of a file that is cut
        bad = bad[bad < good_s[-1]]
    if not len(bad):
        return []
    share = len(bad) / (len(bad) + len(good_s))
    return [
        FootageFinding(
            "damaged", "error", (reading.name,),
            f"{counted(len(bad), 'picture')} cannot be decoded, or only with errors ({100 * share:.2g} %), at "
            f"{listed_times(bad.tolist())}",
            "copy the file again; if it stays so, those pictures are dropped frames or show blocks of others",
            float(bad[0]), float(bad[-1]), {"pictures": len(bad), "share": share},
        )
    ]  # fmt: skip


def _times(reading: ViewReading) -> list[FootageFinding]:
    what = []
    if reading.untimed:
        what.append(f"{counted(reading.untimed, 'picture')} without a time")
    if reading.double:
        what.append(f"{counted(reading.double, 'picture')} at a time that another has")
    if reading.backwards:
        what.append(f"times that go back, {counted(reading.backwards, 'time')}")
    if not what:
        return []
    few = not reading.untimed and not reading.backwards and reading.double <= 1 + _FEW * reading.frames
    severity: Severity = "note" if few else "warning"
    return [
        FootageFinding(
            "timestamps", severity, (reading.name,), f"it has {' and '.join(what)}",
            "--repair writes a copy with times that increase; what the camera's true times were cannot be known",
            None, None,
            {"untimed": reading.untimed, "double": reading.double, "backwards": reading.backwards}, True,
        )
    ]  # fmt: skip


def size_changes(facts: PictureFacts) -> NDArray[np.int64]:
    """Return the pictures, by their place, that are of another size than the one before."""
    return np.flatnonzero((np.diff(facts.size, axis=0) != 0).any(1)) + 1


def _sizes(reading: ViewReading) -> list[FootageFinding]:
    facts = reading.pictures
    changes = size_changes(facts)
    if not len(changes):
        return []
    at = facts.time_s[changes].tolist()
    before = facts.time_s[changes - 1].tolist()
    sizes = " then ".join(f"{w}x{h}" for w, h in facts.size[np.r_[0, changes[:3]]].tolist())
    exact = "" if reading.whole else f", or at most {max(b - a for a, b in zip(before, at, strict=True)):.2f} s before"
    video = reading.kind == "video"
    return [
        FootageFinding(
            "size change", "error", (reading.name,),
            f"the size of its pictures changes at {listed_times(at)}{exact}: {sizes}",
            "one view has one size: --repair cuts the file there" if video else "remove the images of other sizes",
            at[0], None, {"changes": len(changes)}, video,
        )
    ]  # fmt: skip


def _bad_files(reading: ViewReading) -> FootageFinding:
    more = f" and {len(reading.bad_files) - 3} more" if len(reading.bad_files) > 3 else ""
    return FootageFinding(
        "damaged", "error", (reading.name,),
        f"{counted(len(reading.bad_files), 'image')} cannot be read: {', '.join(reading.bad_files[:3])}{more}",
        "replace or remove them; numbered images that are missing are dropped frames",
        None, None, {"pictures": len(reading.bad_files)},
    )  # fmt: skip
