"""The verb ``record``: live cameras to files that can be trusted, and to a session if the rig is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from calib import Rig
from mvcap import plugins
from mvcap.errors import InputError
from mvcap.init import init
from mvcap.recording.matroska import CODECS
from mvcap.recording.people_counter import PeopleCounter
from mvcap.recording.preview import Preview
from mvcap.recording.recorder import VIDEOS, Recorder, Recording
from mvcap.structures.camera_controls import AdjustableSource, CameraControls
from mvcap.structures.contracts import Estimator
from mvcap.structures.live_frames import LiveSource

_NAME = re.compile(r"[\w][\w .-]{0,63}")
_BY_SCHEME = {"http": "mjpeg", "https": "mjpeg"}


def record(
    folder: str | Path,
    sources: Mapping[str, str | LiveSource] | Sequence[str],
    *,
    rig: str | Path | Rig | None = None,
    seconds: float | None = None,
    codec: str = "copy",
    keep_free_gb: float = 2.0,
    waits: bool = False,
    controls: CameraControls | None = None,
    noted: Callable[[str], None] = lambda line: None,
    opened: Callable[[Recorder], None] = lambda recorder: None,
    tick: Callable[[Recorder], None] = lambda recorder: None,
) -> Recording:
    """Record live sources into FOLDER/videos, on one clock, and make a session of FOLDER if a rig is given.

    sources: name -> address (``source_of``) or an object with the protocol ``LiveSource``; or ``NAME=ADDRESS``, a list.
    seconds: how long, default until ``Recorder.stop``. codec: one of ``recording.matroska.CODECS``; "copy" keeps the
    packets of H.264, H.265 and MJPEG. keep_free_gb: the recording ends in good order when less is free on the disk.
    waits: begin at ``Recorder.start`` only. controls: exposure, gain and white balance of all cameras that take them;
    options of an address come first. noted: told, in a line, which source takes none. opened: called with the recorder
    before it runs. tick: called ten times a second. Nothing is kept in memory, and what is written plays after a crash
    up to the last half second.
    Raises SourceError if a source does not answer, InputError for sources, names or a folder that cannot be used.
    """
    folder = Path(folder)
    found = named_sources(sources)
    if codec not in CODECS:
        raise InputError(f"codec {codec!r} is not one of {', '.join(CODECS)}")
    if seconds is not None and not seconds > 0:
        raise InputError(f"{seconds:g} s are no time to record; give more than 0")
    for line in adjust_sources(found, controls or CameraControls()):
        noted(line)
    recorder = Recorder(folder, found, codec, seconds, max(int(keep_free_gb * 1e9), 0), waits)
    opened(recorder)
    made = recorder.run(tick)
    if rig is not None and made.complete:
        init(folder / VIDEOS, rig, folder)
    return made


def adjust_sources(sources: Mapping[str, LiveSource], controls: CameraControls) -> list[str]:
    """Ask every source for exposure, gain and white balance; return a line for each that takes none.

    InputError if all of them take none.
    """
    if not controls.asked:
        return []
    lines = []
    for name, source in sources.items():
        if not isinstance(source, AdjustableSource):
            words = ", ".join(controls.asked).replace("_", " ")
            lines.append(f"{name}: {words} cannot be set from here; set them in the camera's own settings")
            continue
        try:
            source.adjust(controls)
        except InputError as fault:
            lines.append(f"{name}: {fault}")
    if len(lines) == len(sources):
        raise InputError("; ".join(lines))
    return lines


def count_people(recorder: Recorder, preview: Preview, estimator: str | Estimator = "people") -> PeopleCounter:
    """Return a counter, to be started, of the people on the pictures of a recording's page.

    estimator: a name of ``plugins.TABLE``, ``people`` in its mode ``fast``, or an object of its contract. Raises
    AssetError where its networks cannot be had.
    """
    settings = {"mode": "fast"} if estimator == "people" else {}
    plugin: Estimator = plugins.instance("estimator", estimator, settings)
    plugin.prepare(())
    views = {view.name: view for view in recorder.views}

    def codec_of(name: str) -> str:
        form = views[name].state.format
        return form.codec if form else ""

    return PeopleCounter(preview, codec_of, plugin)


def source_of(address: str) -> LiveSource:
    """Return the source of an address.

    ``webcam:0`` or ``/dev/video0``; ``rtsp://...`` and others that FFmpeg reads (``stream``); ``http://...``
    (``mjpeg``); a video file (``replay``) or a folder of images (``images``); or ``KIND:ADDRESS``, a source of
    ``plugins.TABLE`` or ``package.module:Class:ADDRESS``. InputError for anything else.
    """
    plugin, rest = _kind_of(address)
    found: LiveSource = plugins.find_plugin("source", plugin)(rest)
    return found


def _kind_of(address: str) -> tuple[str, str]:
    """The plug-in of an address, and the address as it takes it."""
    kind, _, rest = address.partition(":")
    inner, _, inside = rest.partition(":")
    path = Path(address.partition("?")[0])
    if kind in plugins.TABLE["source"] and not rest.startswith("//"):
        return kind, rest
    if kind.replace(".", "_").isidentifier() and inner.isidentifier() and inside:
        return f"{kind}:{inner}", inside
    if "://" in address:
        return _BY_SCHEME.get(kind.lower(), "stream"), address
    if address.startswith("/dev/video"):
        return "webcam", address
    if path.is_dir():
        return "images", address
    if path.is_file():
        return "replay", address
    raise InputError(f"{address}: no such file, folder or kind of address; kinds: {', '.join(plugins.TABLE['source'])}")


def named_sources(given: Mapping[str, str | LiveSource] | Sequence[str]) -> dict[str, LiveSource]:
    """Return sources by the names of their views, as ``record`` takes them.

    InputError for names that cannot be names of files, or are given twice, and for addresses of no kind.
    """
    pairs: list[tuple[str, str | LiveSource]] = []
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        for text in given:
            name, equals, address = text.partition("=")
            if not equals or not address:
                raise InputError(f"{text!r}: a source is given as NAME=ADDRESS, as in cam1=webcam:0")
            pairs.append((name, address))
    if not pairs:
        raise InputError("no source given; give them as NAME=ADDRESS, as in cam1=webcam:0")
    names = [name for name, _ in pairs]
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name for a view: use letters, digits, '_', '-' and '.'")
        if names.count(name) > 1:
            raise InputError(f"two views are named {name!r}; give them different names")
    return {name: source_of(one) if isinstance(one, str) else one for name, one in pairs}
