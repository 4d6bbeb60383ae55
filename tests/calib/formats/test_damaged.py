"""Damaged files of every format: a rig or one line, never another error."""

import pickle

import numpy as np
import pytest
from foreign_files import SIZE, caliscope, caliscope_camera, camchain, dlt, mcal, mccalib, multical, opencap_values, xcp
from ring_rigs import make_rig

from calib import FORMATS, RigFileError, load_rig, save_rig

TRIES = 60


def opencap(folder):
    (folder / "left.pickle").write_bytes(pickle.dumps(opencap_values(), 2))
    return folder / "left.pickle"


def saved(name, format):
    def make(folder):
        save_rig(make_rig(2, distortion=[0.1, 0, 0, 0]), folder / name, format)
        return folder / name

    return make


FILES = {
    "rig": saved("rig.yaml", "rig"),
    "qualisys": saved("rig.qca.txt", "qualisys"),
    "panoptic": saved("calibration.json", "panoptic"),
    "toml": saved("rig.toml", "toml"),
    "opencv": saved("rig.json", "opencv"),
    "easymocap": saved("intri.yml", "easymocap"),
    "colmap": saved("images.bin", "colmap"),
    "kalibr": camchain,
    "caliscope": lambda folder: caliscope(folder, caliscope_camera(), caliscope_camera()),
    "vicon": lambda folder: xcp(folder, 'VICON_RADIAL="6e-8 3e-14"'),
    "optitrack": mcal,
    "opencap": opencap,
    "multical": lambda folder: multical(folder, ["a", "b"], "a"),
    "mccalib": mccalib,
    "dlt": lambda folder: dlt(folder, True),
}


def test_every_format_is_tried():
    assert set(FILES) == set(FORMATS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("format", FILES)
def test_damage_is_a_rig_or_one_line(tmp_path, format):
    path = FILES[format](tmp_path)
    whole = path.read_bytes()
    load_rig(path, unit="m", size=SIZE)
    rng = np.random.default_rng(5)
    refused = 0
    for number in range(TRIES):
        data = bytearray(whole)
        at = int(rng.integers(len(data)))
        if number % 4 == 0:
            del data[at:]
        elif number % 4 == 1:
            del data[at : at + int(rng.integers(1, 60))]
        elif number % 4 == 2:
            data[at] = int(rng.integers(256))
        else:
            data[at:at] = bytes(rng.choice(list(b'0-9e"<>{}[]:,\n '), int(rng.integers(1, 9))).astype(np.uint8))
        path.write_bytes(bytes(data) or b" ")
        try:
            load_rig(path, format, unit="m", size=SIZE)
        except RigFileError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 700
    assert refused > TRIES / 4
