"""A GigE Vision camera on loopback, served by Aravis in a process of its own: run this file with a serial number."""

import ctypes
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from mvcap.errors import SourceError
from mvcap.sources.genicam_aravis import aravis_library

ADDRESS = "127.0.0.1"


def installed():
    try:
        aravis_library()
    except SourceError:
        return False
    return True


needs_aravis = pytest.mark.skipif(not installed(), reason="Aravis is not installed (Debian: libaravis-0.8-0)")


@contextmanager
def gige_camera(lost_permille=0.0):
    """Serve it; lost_permille: of its packets that are never sent."""
    words = [sys.executable, __file__, str(lost_permille)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "ready\n":
            pytest.skip("no GigE Vision camera can be served here: its port is taken")
        yield ADDRESS
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    library = aravis_library()
    library.arv_gv_fake_camera_new.restype = ctypes.c_void_p
    made = ctypes.c_void_p(library.arv_gv_fake_camera_new(ADDRESS.encode(), b"GV77"))
    ratio = ctypes.c_double(float(sys.argv[1]) / 1000)
    library.g_object_set.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_double, ctypes.c_void_p]
    library.g_object_set(made, b"gvsp-lost-ratio", ratio, None)
    print("ready" if library.arv_gv_fake_camera_is_running(made) else "taken", flush=True)
    time.sleep(120)
