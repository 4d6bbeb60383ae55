"""A finished session whose pictures hold their own frame number, so that a picture tells which frame it is of."""

from fractions import Fraction

import numpy as np
from synthetic_take import ring_rig, save_rig, write_take

import mvcap

SIZE = (320, 180)
BITS, CELL = 12, 20
RATE = Fraction(60000, 1001)


def numbered_picture(number, seed=0):
    """An RGB picture (H, W, 3) with a number as white and black cells, the lowest bit first, in its top row."""
    picture = np.full((SIZE[1], SIZE[0], 3), 70 + 25 * seed, np.uint8)
    picture[:, :, 2] = (np.arange(SIZE[0]) / 2 + 3 * number) % 255
    picture[:CELL, BITS * CELL : (BITS + 1) * CELL] = 235  # white in every picture: grey has no cells
    for bit in range(BITS):
        picture[:CELL, bit * CELL : (bit + 1) * CELL] = 235 if number >> bit & 1 else 20
    return picture


def read_number(picture):
    """The number of a picture (H, W, 3) of any size that is one numbered_picture, or a tile of it."""
    scale = picture.shape[1] / SIZE[0]
    at = ((np.arange(BITS) + 0.5) * CELL * scale).astype(int)
    row = picture[int(CELL * scale / 2), at].mean(-1)
    return int(((row > 128) * 2 ** np.arange(BITS)).sum())


def write_numbered(path, numbers, seed=0, rate=RATE):
    """Write a video in which the picture of each number is shown at its time; a number left out is a gap."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"crf": "16", "preset": "ultrafast"}
        stream.codec_context.time_base = 1 / rate
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, seed), format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def numbered_session(folder, frames, cameras=3, dropped=(), people=2):
    """A reconstructed session of a rig's numbered videos; the last view lacks the frames `dropped`."""
    rig = ring_rig(cameras, size=SIZE)
    for index, name in enumerate(rig.names):
        lost = dropped if index == cameras - 1 else ()
        numbers = [number for number in range(frames) if number not in lost]
        write_numbered(folder / "videos" / f"{name}.mp4", numbers, index)
    oracle = write_take(folder / "take", frames, people, cameras=cameras)
    save_rig(rig, folder / "rig.yaml")
    session = mvcap.init(folder / "videos", rig=folder / "rig.yaml", folder=folder / "take.mvcap")
    session.override({"estimator": "oracle", "estimators": {"oracle": {**oracle, "rig": str(folder / "rig.yaml")}}})
    session.override({"export": {"formats": []}})
    for stage in ("estimate", "associate", "triangulate", "track", "refine"):
        getattr(mvcap, stage)(session)
    return session
