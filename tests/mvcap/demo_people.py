"""Frames of the demo footage, in which a man and a woman stand, and what is needed to look at them."""

from functools import cache

import av
import pytest

from mvcap import assets

TAKE = "demo-multiperson"


def needs(*names):
    """Skip the test if the footage or one of these assets is not in the cache."""
    for name in (TAKE, *names):
        if assets.find(name) is None:
            pytest.skip(f"{name} is not in the cache; mvcap assets fetch {name}")


@cache
def pictures(view, first, count):
    """Return RGB frames (1920, 1088, 3) of a view, cam01 to cam04."""
    found = []
    with av.open(str(assets.path(TAKE) / f"{view}.mp4")) as video:
        for index, frame in enumerate(video.decode(video=0)):
            if index >= first + count:
                break
            if index >= first:
                image = frame.to_ndarray(format="rgb24")
                image.flags.writeable = False
                found.append(image)
    assert len(found) == count
    return tuple(found)


def picture(view, number):
    """Return one frame of a view."""
    return pictures(view, number, 1)[0]
