"""Settings of synthetic sessions that take a second, and their files."""

from generated_people import ring_rig

from calib import Camera, Rig

RIG = Rig(tuple(Camera(camera.lens.scaled(1 / 20), camera.cam_from_world) for camera in ring_rig(2)))
SMALL = {"people": 1, "seconds": 0.5, "rate_hz": 10.0, "seed": 5, "body": "capsules", "depth": True, "pixels": True,
         "events_hz": 10.0, "board_s": 0.6}  # fmt: skip


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
