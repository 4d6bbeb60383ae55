"""A process of its own for reading one file: damaged input may abort the decoder or stop it for good.

The job comes pickled by standard input, and messages leave by standard output: ("ready",), ("partial", reading),
("progress", done, total), ("result", reading or what the job returns).
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvcap.footage_checks.view_reading import ReadingJob, ViewReading
from mvcap.progress import Progress, silent

_START_S = 120.0  # for loading the libraries on a busy machine
_STALL_S = 8.0  # without a message
_OVER = ("ended",)


@dataclass(frozen=True)
class Fallen:
    """What a process left that did not come to its end: how it fell, and what it had told before."""

    why: str
    partial: Any = None


def in_process(job: Any, stage: str, progress: Progress = silent, stall_s: float = _STALL_S) -> Any:
    """Run a job (``ReadingJob``, or any picklable object with ``run(tell, partial)``) in a process of its own.

    Returns its result, or ``Fallen`` if the process ended or said nothing for stall_s. It is ended with this call,
    whatever happens.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    line = [sys.executable, "-m", "mvcap.footage_checks.reading_process"]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        messages: queue.Queue[tuple[Any, ...]] = queue.Queue()
        threading.Thread(target=_listen, args=(process, messages), daemon=True).start()
        try:
            assert process.stdin is not None
            process.stdin.write(pickle.dumps(job))
            process.stdin.close()
            return _followed(process, messages, stage, progress, stall_s)
        except BrokenPipeError:
            return Fallen("the process that reads could not be started")
        finally:
            process.kill()


def _followed(
    process: subprocess.Popen[bytes], messages: queue.Queue[tuple[Any, ...]], stage: str, progress: Progress,
    stall_s: float,
) -> Any:  # fmt: skip
    partial, wait_s = None, _START_S
    while True:
        try:
            message = messages.get(timeout=wait_s)
        except queue.Empty:
            return Fallen(f"FFmpeg did not answer for {wait_s:g} s", partial)
        wait_s = stall_s
        if message[0] == "result":
            return message[1]
        if message[0] == "partial":
            partial = message[1]
        elif message[0] == "progress":
            progress(stage, message[1], message[2])
        elif message == _OVER:
            status = process.wait()
            return Fallen(f"the process that reads it ended (status {status})", partial)


def _listen(process: subprocess.Popen[bytes], messages: queue.Queue[tuple[Any, ...]]) -> None:
    assert process.stdout is not None
    try:
        while True:
            messages.put(pickle.load(process.stdout))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        messages.put(_OVER)


def _serve() -> None:
    """Do the job that comes by standard input."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages

    def send(*message: Any) -> None:
        pickle.dump(message, out)
        out.flush()

    job = pickle.load(sys.stdin.buffer)
    import av  # noqa: F401  the time that this takes is no stall
    import cv2  # noqa: F401

    send("ready")
    send("result", run_job(job, lambda done, total: send("progress", done, total), lambda one: send("partial", one)))


def run_job(job: Any, tell: Any, partial: Any) -> Any:
    """Do a job in this process: read a view, or what the job itself does with ``run(tell, partial)``."""
    if not isinstance(job, ReadingJob):
        return job.run(tell, partial)
    if Path(job.path).is_dir():
        from mvcap.footage_checks.image_reading import read_images

        return read_images(job, tell)
    from mvcap.footage_checks.video_reading import read_video

    return read_video(job, tell, partial)


def read_view(job: ReadingJob, progress: Progress = silent) -> ViewReading:
    """Read a view in a process of its own; what it fell over is in ``stopped``."""
    found = in_process(job, job.name, progress)
    if isinstance(found, ViewReading):
        return found
    reading = found.partial or ViewReading(job.name, job.path, refused=f"it cannot be read: {found.why}")
    reading.stopped = found.why
    return reading


if __name__ == "__main__":
    _serve()
