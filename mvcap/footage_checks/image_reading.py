"""Reads a folder of images, some of which may be damaged or of another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calib.bounded_pictures import decoded_picture
from mvcap.errors import InputError
from mvcap.footage_checks.picture_series import BURST, PictureSeries, moments
from mvcap.footage_checks.video_reading import Tell
from mvcap.footage_checks.view_reading import ReadingJob, ViewReading
from mvcap.structures.footage import Footage
from mvcap.structures.picture_depth import to_8_bit

_ALL = 3000  # images up to which "sampled" means all


def read_images(job: ReadingJob, tell: Tell) -> ViewReading:
    """Read the images of a view: all, or of more than 3000 some in a row at moments spread over the take."""
    reading = ViewReading(job.name, job.path, kind="images")
    try:
        footage = _probed(job, reading)
    except InputError as fault:
        reading.refused = str(fault).removeprefix(f"{job.path}: ")
        return reading
    reading.codec, reading.time_s = footage.codec, footage.time_s
    at = moments(float(footage.time_s[0]), float(footage.time_s[-1]))
    chosen = np.arange(footage.frames)
    if job.decode == "sampled" and footage.frames > _ALL:
        starts = np.searchsorted(footage.time_s, at)
        chosen = np.unique((starts[:, None] + np.arange(BURST + 3)).clip(0, footage.frames - 1))
    reading.whole = len(chosen) == footage.frames
    stretch = np.cumsum(np.diff(chosen, prepend=chosen[0]) > 1)
    series = PictureSeries(at)
    bad = list(reading.bad_files)
    for done, (image, number) in enumerate(zip(chosen.tolist(), stretch.tolist(), strict=True)):
        try:
            picture = to_8_bit(decoded_picture(footage.files[image]))
        except (OSError, ValueError):
            bad.append(footage.files[image].name)
            continue
        grey = np.ascontiguousarray(picture.mean(2) if picture.ndim == 3 else picture).astype(np.uint8)
        if not reading.size[0]:
            reading.size = grey.shape[1], grey.shape[0]
        series.add(float(footage.time_s[image]), grey, number)
        if done % 20 == 0:
            tell(done, len(chosen))
    reading.bad_files = tuple(bad)
    reading.pictures = series.facts()
    return reading


def _probed(job: ReadingJob, reading: ViewReading) -> Footage:
    """Return the facts of the folder; where its first images cannot be read, those behind them count."""
    from mvcap.structures.image_folders import images_in

    files = list(job.files) or images_in(job.path)
    bad: list[str] = []
    while True:
        try:
            found = Footage.probe(job.path, job.rate_hz, files)
            reading.bad_files = tuple(bad)
            return found
        except InputError as fault:
            first = next((file for file in files if str(fault).startswith(f"{file}: ")), None)
            if first is None or len(files) < 2:
                raise
            files.remove(first)
            bad.append(Path(first).name)
