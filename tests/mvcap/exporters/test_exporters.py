"""Every format read back by its own reader: the same numbers, missing ones too, unit and axes named in the file."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from exported_take import DENSE, FRAMES, TABLE, expected
from walking_take import COCO, RATE_HZ, poses, take

from mvcap import plugins
from mvcap.errors import PluginError, SessionError
from mvcap.export import export_take
from mvcap.structures import long_table
from mvcap.structures.pose_stream import _TURN, turn_axes
from mvcap.structures.poses import Poses3D, full_covariance, sigma_m


def parse_trc(path):
    lines = path.read_text().split("\n")
    assert lines[5] == "" and lines[-1] == ""
    fields = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    joints = [cell for cell in lines[3].split("\t")[2:] if cell]
    body = [line.split("\t") for line in lines[6:-1]]
    assert {len(row) for row in body} == {2 + 3 * len(joints)}
    assert len(lines[3].split("\t")) == len(lines[4].split("\t")) == 2 + 3 * len(joints)
    numbers = np.array([[float(cell or "nan") for cell in row] for row in body])
    return fields, joints, numbers, lines[0]


@pytest.mark.parametrize("axes", ["z-up", "y-up"])
def test_trc(tmp_path, axes):
    paths = export_take(take(TABLE, FRAMES, axes=axes), tmp_path, ["trc"])
    assert [path.name for path in paths] == ["walk_person01.trc", "walk_person02.trc"]
    for person, path in enumerate(paths, 1):
        fields, joints, numbers, first = parse_trc(path)
        assert f"axes={axes}" in first and path.name in first
        assert fields["Units"] == "m" and float(fields["DataRate"]) == RATE_HZ
        assert (int(fields["NumFrames"]), int(fields["NumMarkers"])) == (FRAMES, 17)
        assert tuple(joints) == COCO.joints
        np.testing.assert_array_equal(numbers[:, 0], np.arange(FRAMES) + 1)
        np.testing.assert_allclose(numbers[:, 1], np.arange(FRAMES) / RATE_HZ, atol=1e-6)
        np.testing.assert_allclose(numbers[:, 2:].reshape(FRAMES, 17, 3), expected(axes, person), atol=1e-6)


def table_columns(table, axes):
    turned = table if axes == "z-up" else turn_axes(table, _TURN[axes])
    return {
        "frame": np.repeat(table.frame, 17),
        "time_s": np.repeat(table.frame, 17) / RATE_HZ,
        "person": np.repeat(table.person, 17),
        **{name: turned.xyz[..., axis].ravel() for axis, name in enumerate(("x_m", "y_m", "z_m"))},
        "score": table.score.ravel(),
        "error_px": table.error_px.ravel(),
        "views": table.views.ravel(),
        "sigma_m": sigma_m(table).ravel(),
    }


@pytest.mark.parametrize("axes", ["z-up", "y-up"])
def test_csv(tmp_path, axes):
    (path,) = export_take(take(TABLE, FRAMES, axes=axes), tmp_path, ["csv"])
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#") and f"unit=m axes={axes} rate_hz=25.0 skeleton=coco17" in lines[0]
    read = list(csv.DictReader(lines[1:]))
    assert tuple(read[0]) == long_table.COLUMNS
    assert [row["joint"] for row in read] == list(COCO.joints) * len(TABLE)
    for name, values in table_columns(TABLE, axes).items():
        np.testing.assert_allclose([float(row[name] or "nan") for row in read], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("axes", ["z-up", "y-up"])
def test_parquet(tmp_path, axes):
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = export_take(take(TABLE, FRAMES, axes=axes), tmp_path, ["parquet"])
    read = parquet.read_table(path)
    notes = {key.decode(): value.decode() for key, value in read.schema.metadata.items() if b"ARROW" not in key}
    assert notes["unit"] == "m" and notes["axes"] == axes and notes["skeleton"] == "coco17"
    assert float(notes["rate_hz"]) == RATE_HZ
    assert tuple(read.column_names) == long_table.COLUMNS
    assert parquet.ParquetFile(path).metadata.row_group(0).column(4).compression == "ZSTD"
    assert read["x_m"].null_count == int(np.isnan(TABLE.xyz[..., 0]).sum()) > 0
    for name, values in table_columns(TABLE, axes).items():
        np.testing.assert_array_equal(read[name].to_numpy(), values, err_msg=name)


@pytest.mark.parametrize("axes", ["z-up", "y-up"])
def test_json(tmp_path, axes):
    (path,) = export_take(take(TABLE, FRAMES, axes=axes), tmp_path, ["json"])
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (read["unit"], read["axes"], read["rate_hz"]) == ("m", axes, RATE_HZ)
    assert read["skeleton"]["joints"] == list(COCO.joints) and read["skeleton"]["bones"] == COCO.bones.tolist()
    assert [frame["frame"] for frame in read["frames"]] == list(range(FRAMES))
    assert read["frames"][0]["people"] == []
    got = np.full((FRAMES, 2, 17, 4), np.nan)
    for frame in read["frames"]:
        assert frame["time_s"] == pytest.approx(frame["frame"] / RATE_HZ)
        for person in frame["people"]:
            assert tuple(person["joints"]) == COCO.joints
            got[frame["frame"], person["id"] - 1] = np.array(list(person["joints"].values()), float)
    for person in (1, 2):
        np.testing.assert_allclose(got[:, person - 1, :, :3], expected(axes, person), atol=1e-6)


def test_y_up_is_a_rotation_that_takes_covariances_along():
    rotation = _TURN["y-up"]
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_array_equal(rotation @ rotation.T, np.eye(3))
    np.testing.assert_array_equal(rotation @ [0, 0, 1], [0, 1, 0])
    turned = turn_axes(TABLE, rotation)
    direction = np.array([0.3, -0.5, 0.8])
    before = np.einsum("i,...ij,j", direction, full_covariance(TABLE.cov), direction)
    after = np.einsum("i,...ij,j", rotation @ direction, full_covariance(turned.cov), rotation @ direction)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    np.testing.assert_allclose(sigma_m(turned), sigma_m(TABLE), rtol=1e-6)


@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_the_chunks_do_not_show(tmp_path, name):
    written = []
    for step in (1, 7, FRAMES):
        paths = export_take(take(TABLE, FRAMES, step), tmp_path / str(step), [name])
        written.append([path.read_bytes() for path in paths] if name != "parquet" else _rows_of(paths[0]))
    assert written[0] == written[1] == written[2]


def _rows_of(path):
    return pytest.importorskip("pyarrow.parquet").read_table(path).to_pydict()["z_m"]


@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_an_empty_take_makes_a_valid_file(tmp_path, name):
    for frames in (0, 3):
        nobody = take(Poses3D.empty(COCO), frames, name=f"none{frames}")
        for path in export_take(nobody, tmp_path, [name]):
            assert path.stat().st_size or name == "c3d"


def test_blocks_cover_the_take_and_disorder_is_refused():
    whole = take(TABLE, FRAMES, step=4)
    blocks = list(whole.person_blocks(2, frames=11))
    assert [block.start for block in blocks] == [0, 11, 22]
    np.testing.assert_array_equal(np.concatenate([block.xyz for block in blocks])[:, 0], DENSE[:, 1])
    assert all((block.score == 0).tolist() == np.isnan(block.xyz).any(-1).tolist() for block in blocks)
    with pytest.raises(ValueError, match="order of frames"):
        list(take(TABLE, FRAMES - 5).person_blocks(1))


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(PluginError, match="did you mean 'parquet'"):
        export_take(take(TABLE, FRAMES), tmp_path / "out", ["trc", "parket"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_a_fault_on_the_way_leaves_nothing_half_written(tmp_path, name):
    def broken():
        yield TABLE[TABLE.frame < 10]
        raise OSError(28, "No space left on device")

    faulty = take(TABLE, FRAMES)
    object.__setattr__(faulty, "chunks", broken)
    old = tmp_path / "walk.csv"
    old.write_text("kept")
    with pytest.raises((SessionError, OSError), match="No space left"):
        export_take(faulty, tmp_path, [name])
    assert list(tmp_path.iterdir()) == [old] and old.read_text() == "kept"


@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_a_full_disk_is_one_line(tmp_path, name):
    """A process that may write no file of more than a few kB: what a full disk does, without one."""
    pytest.importorskip("resource")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from walking_take import poses, take\n"
        "from mvcap.export import export_take; from mvcap.errors import SessionError\n"
        "import pyarrow.csv, pyarrow.parquet\n"
        "table = take(poses(60), 60)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "try: export_take(table, Path(sys.argv[2]), [sys.argv[3]])\n"
        "except SessionError as error: print(error)\n"
    )
    arguments = [sys.executable, "-B", "-c", code, str(Path(__file__).parents[1]), str(tmp_path), name]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert "cannot be written" in done.stdout and done.stdout.count("\n") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="folders are made read-only in another way here")
@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_a_read_only_folder_is_one_line(tmp_path, name):
    export_take(take(Poses3D.empty(COCO), 1), tmp_path, [name])  # imports what it needs
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        me = os.geteuid()
        try:
            if me == 0:  # who may write everywhere
                os.seteuid(65534)
            with pytest.raises(SessionError, match=r"walk.* cannot be written: Permission denied"):
                export_take(take(TABLE, FRAMES), Path(folder), [name])
        finally:
            os.seteuid(me)
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_a_folder_that_cannot_be_is_one_line(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be written"):
        export_take(take(TABLE, FRAMES), tmp_path / "file" / "out", [name])


@pytest.mark.parametrize("name", plugins.TABLE["exporter"])
def test_memory_does_not_grow_with_the_take(tmp_path, name):
    piece = poses(100)

    def peak(times):
        def chunks():
            for turn_number in range(times):
                yield piece.with_columns(frame=piece.frame + 100 * turn_number)

        long = take(piece, 100 * times)
        object.__setattr__(long, "chunks", chunks)
        tracemalloc.start()
        export_take(long, tmp_path, [name])
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)
    assert peak(40) < peak(10) + 400_000
