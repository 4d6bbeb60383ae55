"""Training samples: computed from synthetic takes by several processes, and stored in a few files.

A file (shard) is written atomically, so an interrupted run continues with the next one. Files are memory-mapped: a task
may have more samples than fit into memory.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from calib import Rig
from mvcap import plugins
from mvcap.config import build
from mvcap.errors import InputError, StaleError
from mvcap.progress import Progress
from mvcap.structures.npz import write_npz, write_text
from mvcap.weights.networks import rig_fingerprint

if TYPE_CHECKING:
    from mvcap.structures.synthetic_take import SyntheticTake
    from mvcap.training.task import Sample, Task

_SHARDS = 64
"""Most files of a split: each is open while samples are read."""
_HELD_OUT_SEED = 20_000_003
"""Held-out takes are the same for every seed, so that results of seeds can be compared."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the samples of one split come from."""

    task: str
    """``"package.module:Class"``."""
    split: str
    takes: int
    seed: int
    take: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of the takes that differ from the defaults."""
    rig: Rig | None = None
    """Rig of all takes; None = a random one for each take."""

    def plain(self) -> dict[str, Any]:
        """Return everything that the samples depend on, as values of JSON."""
        rig = None if self.rig is None else rig_fingerprint(self.rig)
        recorded = {"task": self.task, "takes": self.takes, "seed": self.seed, "take": dict(self.take), "rig": rig}
        plain: dict[str, Any] = json.loads(json.dumps(recorded, default=list))
        return plain

    def samples_of(self, index: int, task: Task) -> list[Sample]:
        """Samples of one take."""
        root = _HELD_OUT_SEED if self.split == "held_out" else self.seed
        of_take, of_task = np.random.SeedSequence([root, index]).generate_state(2).tolist()
        return task.samples(self._take(of_take), of_task)

    def _take(self, seed: int) -> SyntheticTake:
        from mvcap.datasets.people import TakeConfig, make_take

        config = build(TakeConfig, {"split": self.split, **self.take}, "take")
        return make_take(seed, config if self.rig is None else dataclasses.replace(config, rig=self.rig))


def load_task(target: str) -> Task:
    """Load a task by its name in the table or by ``"package.module:Class"``; PluginError where there is none."""
    task: Task = plugins.find_plugin("task", target)()
    return task


class Samples(Sequence["Sample"]):
    """Samples of some files, read on access."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._shards = [_Shard(file) for file in files]
        self._start = np.cumsum([0, *(len(shard) for shard in self._shards)])
        self.sizes = np.concatenate([shard.sizes for shard in self._shards] or [np.zeros(0, np.int64)])
        """Number of values of each sample (N,)."""

    def __len__(self) -> int:
        return int(self._start[-1])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = int(np.searchsorted(self._start, index, side="right")) - 1
        return self._shards[shard][int(index - self._start[shard])]


class _Shard:
    """Samples of one file: for each name all values in one flat array, and every sample's shape."""

    def __init__(self, path: Path) -> None:
        arrays = _map_arrays(path)
        self.counts = arrays.pop("counts")
        """Number of samples of each take."""
        names = sorted({name.rpartition(".")[0] for name in arrays})
        self._values = {name: arrays[f"{name}.values"] for name in names}
        self._shapes = {name: np.array(arrays[f"{name}.shapes"]) for name in names}
        lengths = {name: shapes.prod(1, dtype=np.int64) for name, shapes in self._shapes.items()}
        self._starts = {name: np.cumsum(length) - length for name, length in lengths.items()}
        self.sizes: NDArray[np.int64] = np.sum(list(lengths.values()), 0) if names else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Sample:
        out: dict[str, NDArray[Any]] = {}
        for name, shapes in self._shapes.items():
            shape, start = tuple(shapes[index].tolist()), int(self._starts[name][index])
            flat = self._values[name][start : start + int(np.prod(shape))]
            out[name] = np.array(flat).reshape(shape)  # a copy: aligned and writable
        return out


def _map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of an uncompressed npz, memory-mapped."""
    out: dict[str, NDArray[Any]] = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for member in archive.infolist():
            file.seek(member.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            file.seek(name + extra, 1)
            npy.read_magic(file)
            shape, _, dtype = npy.read_array_header_2_0(file)
            count = int(np.prod(shape))
            array = np.frombuffer(whole, dtype, count, file.tell()) if count else np.zeros(0, dtype)
            out[member.filename.removesuffix(".npy")] = array.reshape(shape)
    return out


def _write(path: Path, takes: Sequence[Sequence[Sample]]) -> None:
    arrays: dict[str, NDArray[Any]] = {"counts": np.array([len(take) for take in takes], np.int64)}
    samples = [{name: np.asarray(value) for name, value in sample.items()} for take in takes for sample in take]
    for name in samples[0] if samples else ():
        arrays[f"{name}.values"] = np.concatenate([sample[name].ravel() for sample in samples])
        arrays[f"{name}.shapes"] = np.array([sample[name].shape for sample in samples], np.int64)
    write_npz(path, arrays)


def prepare(
    sources: Sequence[Source], folder: Path, workers: int, progress: Progress, redo: bool = False
) -> list[Samples]:
    """Samples of each source; existing ones in the folder, from the same settings and the same program, are kept.

    Raises StaleError where other samples are in the folder; with ``redo`` they are dropped instead.
    """
    about = {source.split: source.plain() for source in sources}
    record = folder / "about.json"
    if (what := _stale_reason(record, about, sources, folder)) and not redo:
        raise StaleError(f"{folder} holds samples {what}; train into another folder, or train again (--redo)")
    if what:
        for file in [record, *folder.glob("*.npz")]:
            file.unlink(missing_ok=True)
    for half in folder.glob(".*.npz"):  # left behind by a killed process
        half.unlink(missing_ok=True)
    write_text(record, json.dumps(about, indent=1) + "\n")
    jobs = [(source, folder, shard) for source in sources for shard in range(_shard_count(source))]
    missing = [job for job in jobs if not _is_complete(_file(*job))]
    total = sum(source.takes for source in sources)
    done = total - sum(len(_takes_of_shard(source, shard)) for source, _, shard in missing)
    for made in _make_shards(missing, workers):
        done += made
        progress("samples", done, total)
    return [_open_samples(source, folder) for source in sources]


def _open_samples(source: Source, folder: Path) -> Samples:
    found = Samples([_file(source, folder, shard) for shard in range(_shard_count(source))])
    if not len(found):
        raise InputError(f"{folder}: {source.takes} {source.split} takes gave no sample; use more takes")
    return found


def _shard_count(source: Source) -> int:
    return min(_SHARDS, source.takes)


def _takes_of_shard(source: Source, shard: int) -> range:
    return range(shard, source.takes, _shard_count(source))


def _file(source: Source, folder: Path, shard: int) -> Path:
    return folder / f"{source.split}-{shard:02d}.npz"


def _is_complete(file: Path) -> bool:
    try:
        _map_arrays(file)
    except (OSError, ValueError, struct.error, zipfile.BadZipFile):
        return False
    return True


def _make_shards(jobs: Sequence[tuple[Source, Path, int]], workers: int) -> Iterator[int]:
    """Make the shards; yield the number of takes of each."""
    if min(workers, len(jobs)) <= 1:
        yield from map(_make, jobs)
        return
    import multiprocessing

    # Forked processes would inherit locks held by threads of torch.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(_make, jobs)
    except BrokenProcessPool as fault:
        raise InputError(
            "a process that generates samples was killed, perhaps for lack of memory; use fewer (workers=1)"
        ) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _make(job: tuple[Source, Path, int]) -> int:
    from threadpoolctl import threadpool_limits

    source, folder, shard = job
    task = load_task(source.task)
    with threadpool_limits(1):
        _write(
            _file(source, folder, shard), [source.samples_of(index, task) for index in _takes_of_shard(source, shard)]
        )
    return len(_takes_of_shard(source, shard))


def _stale_reason(record: Path, about: Mapping[str, Any], sources: Sequence[Source], folder: Path) -> str:
    """How the samples in the folder differ from the requested ones; empty where they do not.

    The first take of each split is generated again to check that the program still makes the same samples.
    """
    try:
        recorded = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        return "of unknown settings (about.json is damaged)"
    if recorded != about:
        changed = {
            key for split in about for key, value in about[split].items() if _recorded(recorded, split, key) != value
        }
        return f"made with another {', '.join(sorted(changed)) or 'split'}"
    for source in sources:
        file = _file(source, folder, 0)
        if _is_complete(file) and not _same(_Shard(file), source.samples_of(0, load_task(source.task))):
            return "that this version of the program makes differently"
    return ""


def _recorded(recorded: Any, split: str, key: str) -> Any:
    part = recorded.get(split) if isinstance(recorded, dict) else None
    return part.get(key) if isinstance(part, dict) else None


def _same(shard: _Shard, made: Sequence[Sample]) -> bool:
    if shard.counts[0] != len(made):
        return False
    return all(_equal(shard[index], sample) for index, sample in enumerate(made))


def _equal(a: Sample, b: Sample) -> bool:
    """Whether two samples are the same, apart from rounding on other processors."""
    return a.keys() == b.keys() and all(
        a[name].shape == np.shape(b[name]) and np.allclose(a[name], b[name], 1e-3, 1e-4, equal_nan=True) for name in a
    )
