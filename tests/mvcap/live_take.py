"""A live take of tests: cameras on loopback, and the oracle that knows where people are in their frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from camera_server import camera, numbered_jpegs
from synthetic_take import ring_rig, truth

from calib import Rig, save_rig
from mvcap.structures.pose_file import save_poses

SIZE, RATE_HZ, FRAMES = (320, 180), 25.0, 2000


def oracle_take(folder, people=2) -> tuple[Rig, dict[str, object]]:
    """Cameras, and settings of the oracle that sees people walk for 80 s."""
    rig = ring_rig(3, size=SIZE)
    save_rig(rig, folder / "rig.yaml")
    save_poses(folder / "truth.npz", truth(FRAMES, people=people))
    return rig, {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": 0.3}


@contextmanager
def cameras(rig: Rig) -> Iterator[list[str]]:
    """The sources of a rig: one server, whose pictures tell nothing but their number."""
    with camera(numbered_jpegs(50, SIZE), RATE_HZ) as served:
        yield [f"{one.name}={served.address(one.name)}" for one in rig]
