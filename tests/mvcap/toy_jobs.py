"""A job for tests of batches: its items are YAML files that say what happens; each run is a line of a log."""

import os
import signal
import time
from pathlib import Path

import yaml

from mvcap.errors import ConfigError, InputError, SessionError
from mvcap.structures.npz import write_text


class Told:
    """Keys of an item: sleep_s, fail (a reason), wrong (a fault of the program), die (by a signal), busy_until."""

    def items(self, folder):
        names = sorted(path.name for path in folder.glob("*.yaml"))
        if not names:
            raise InputError(f"{folder}: holds no .yaml file")
        return names

    def check(self, settings):
        if unknown := settings.keys() - {"size"}:
            raise ConfigError(f"--set {min(unknown)}: there is no such setting")

    def run(self, item, settings):
        told = yaml.safe_load(item.read_text()) or {}
        log = item.parent / "log"
        log.mkdir(exist_ok=True)
        with (log / item.name).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(told.get("sleep_s", 0))
        if "busy_until" in told and not (item.parent / told["busy_until"]).exists():
            raise SessionError("another mvcap is working on this") from BlockingIOError()
        if "fail" in told:
            raise InputError(told["fail"])
        if told.get("wrong"):
            raise ZeroDivisionError("a fault\nof two lines")
        if told.get("die") and not (item.parent / "safe").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        write_text(item.parent / "results" / item.name, "x" * settings.get("size", 10))
        return {"verdict": "good", "about": f"{settings.get('size', 10)} letters", "page": f"results/{item.name}"}

    def stands(self, item, facts):
        return (item.parent / str(facts.get("page"))).exists()


JOB = "toy_jobs:Told"


def told_items(folder: Path, **items):
    """Write an item for each keyword; a number stands for so many items without a wish."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wish in items.items():
        for number in range(wish) if isinstance(wish, int) else [None]:
            text = yaml.safe_dump({} if isinstance(wish, int) else wish)
            (folder / f"{name}{'' if number is None else f'_{number:04d}'}.yaml").write_text(text)
    return folder


def runs(folder):
    """How often each item was run."""
    return {path.name: len(path.read_text().splitlines()) for path in sorted((folder / "log").glob("*"))}


def leftovers(folder):
    """Claims and temporary files among the records of a folder."""
    names = (path.name for path in folder.rglob("*") if path.name != ".mvcap_batch")
    return sorted(name for name in names if name.endswith(".claim") or name.startswith("."))
