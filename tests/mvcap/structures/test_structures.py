"""The nouns: skeletons, tables, archives and artefacts keep what they promise, and say what is wrong in one line."""

import errno
import json
import os
import re
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calib import RigFileError
from mvcap import stages
from mvcap.errors import InputError, SessionError, StaleError
from mvcap.structures import anthropometry, npz
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.structures.poses import Poses3D, full_covariance, packed_covariance
from mvcap.structures.skeleton import DERIVED, SKELETONS, skeleton

COCO = SKELETONS["coco17"]
ALL = pytest.mark.parametrize("kind", SKELETONS.values(), ids=SKELETONS)
PAIRS = [(a, b) for a in SKELETONS.values() for b in SKELETONS.values()]


# Skeletons


@ALL
def test_joints_bones_and_limbs_are_sound(kind):
    joints = len(kind)
    assert len(set(kind.joints)) == joints == int(re.search(r"\d+", kind.name)[0])
    for pairs in (kind.bones, kind.limbs):
        assert pairs.shape[1] == 2 and ((pairs >= 0) & (pairs < joints)).all() and (pairs[:, 0] != pairs[:, 1]).all()
        assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs)
    assert len(kind.limbs) == (5 if kind.name == "mvor10" else 9) and len(kind.torso) >= 4
    assert (kind.sigma > 0.02).all() and (kind.sigma < 0.12).all()
    assert [kind.index(name) for name in kind.joints] == list(range(joints))


@ALL
def test_mirror_is_an_involution_of_sides(kind):
    assert (kind.mirror[kind.mirror] == np.arange(len(kind))).all()
    for joint, partner in zip(kind.joints, kind.mirror, strict=True):
        other = kind.joints[partner]
        assert (joint == other) != ("left" in joint or "right" in joint)
        assert joint.replace("left", "x").replace("right", "x") == other.replace("left", "x").replace("right", "x")
    assert (kind.sigma[kind.mirror] == kind.sigma).all()
    bones = {frozenset(pair) for pair in kind.bones.tolist()}
    assert {frozenset(kind.mirror[list(pair)].tolist()) for pair in bones} == bones


@ALL
def test_reading_a_skeleton_as_itself_changes_nothing(kind):
    assert np.array_equal(kind.convert(kind), np.eye(len(kind)))
    values = np.random.default_rng(0).normal(size=(2, 3, len(kind), 3)).astype(np.float32)
    out = kind.apply(kind, values)
    assert out.dtype == np.float32 and np.array_equal(out, values)


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda kind: kind.name)
def test_conversion_rows_are_copies_weighted_means_or_nan(source, target):
    matrix = source.convert(target)
    assert matrix.shape == (len(target), len(source))
    for joint, row in zip(target.joints, matrix, strict=True):
        if joint in source.joints:
            assert row[source.index(joint)] == 1 and np.count_nonzero(row) == 1
        elif joint in DERIVED and set(DERIVED[joint]) <= set(source.joints):
            assert row.sum() == pytest.approx(1) and np.count_nonzero(row) == len(DERIVED[joint])
        else:
            assert np.isnan(row).all()


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda kind: kind.name)
def test_conversion_follows_movement_and_mirroring(source, target):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, len(source), 3))
    out = source.apply(target, values)
    shift = rng.normal(size=3)
    np.testing.assert_allclose(source.apply(target, values + shift), out + shift, atol=1e-12)
    np.testing.assert_allclose(source.apply(target, values[:, source.mirror]), out[:, target.mirror], atol=1e-12)
    shared = [joint for joint in target.joints if joint in source.joints]
    at = [target.index(joint) for joint in shared], [source.index(joint) for joint in shared]
    assert np.array_equal(out[:, at[0]], values[:, at[1]])


def test_derived_joints_are_where_they_belong():
    xyz = np.random.default_rng(2).normal(size=(17, 3))
    at = dict(zip(COCO.joints, xyz, strict=True))
    shelf = COCO.apply(skeleton("shelf15"), xyz)
    np.testing.assert_allclose(shelf[-1], (at["left_hip"] + at["right_hip"]) / 2)
    ears, shoulders = (at["left_ear"] + at["right_ear"]) / 2, (at["left_shoulder"] + at["right_shoulder"]) / 2
    np.testing.assert_allclose(COCO.apply(skeleton("body25"), xyz)[1], shoulders)
    np.testing.assert_allclose(shelf[12], (ears + shoulders) / 2)
    np.testing.assert_allclose(shelf[13] - ears, (ears - shoulders) / 2)


def test_a_missing_source_makes_only_its_own_joints_missing():
    xyz = np.ones((17, 3))
    xyz[COCO.index("left_hip")] = np.nan
    out = COCO.apply(skeleton("body25"), xyz)
    missing = {name for name, row in zip(skeleton("body25").joints, out, strict=True) if np.isnan(row).any()}
    feet = {f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")}
    assert missing == {"left_hip", "pelvis", *feet}


def test_an_unknown_skeleton_names_those_there_are():
    with pytest.raises(InputError, match=r"'coco16'; available: .*coco17"):
        skeleton("coco16")
    with pytest.raises(ValueError):
        COCO.index("tail")


def test_size_of_bodies():
    xyz = np.zeros((3, 17, 3))
    for kind, (a, b) in zip(anthropometry.typical_limbs(COCO), COCO.limbs, strict=True):
        xyz[1, b] = xyz[1, a] + [0, 0, kind]
    xyz[1, COCO.index("right_hip")] = xyz[1, COCO.index("left_hip")] + [anthropometry.typical_limbs(COCO)[-1], 0, 0]
    xyz[0], xyz[2] = np.nan, 1000 * xyz[1]
    scale = anthropometry.body_scale(COCO, xyz)
    assert np.isnan(scale[0]) and scale[1] == pytest.approx(1, rel=0.1) and scale[2] == pytest.approx(1000, rel=0.1)
    assert anthropometry.plausible_size(COCO, xyz).tolist() == [True, True, False]


# Tables


def detections(rows=6, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.uniform(0.1, 1, (rows, 17))
    score[rng.random((rows, 17)) < 0.3] = 0
    return Detections2D.build(COCO, 3, 1, rng.uniform(0, 900, (rows, 17, 2)), score, 1.0)


def poses(frames=10, people=2, seed=0):
    rng = np.random.default_rng(seed)
    rows = frames * people
    xyz, score = rng.normal(size=(rows, 17, 3)), rng.uniform(0.1, 1, (rows, 17))
    gone = rng.random((rows, 17)) < 0.2
    xyz[gone], score[gone] = np.nan, 0
    frame, person = np.repeat(np.arange(frames), people), np.tile(np.arange(1, people + 1), frames)
    return Poses3D(COCO, frame, person, person, xyz, score, score, score, np.zeros((rows, 17, 6)), score > 0)


def test_missing_joints_are_nan_and_zero_together():
    rows = detections()
    assert np.array_equal(np.isnan(rows.xy).any(-1), rows.score == 0)
    assert np.array_equal(np.isnan(rows.noise_px), rows.score == 0)
    for table, place in ((rows, "xy"), (poses(), "xyz")):
        joint = tuple(np.argwhere(table.score > 0)[0])
        for column, value in ((place, np.nan), ("score", 0)):
            changed = getattr(table, column).copy()
            changed[joint] = value
            with pytest.raises(ValueError, match="both together"):
                table.with_columns(**{column: changed})


@given(
    arrays.arrays(np.float64, (3, 17, 2), elements=st.floats(allow_nan=True, allow_infinity=True)),
    arrays.arrays(np.float64, (3, 17), elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_whatever_is_built_is_consistent(xy, score):
    with np.errstate(over="ignore", invalid="ignore"):
        rows = Detections2D.build(COCO, 0, 0, xy, score, 1.0)
    assert ((rows.score >= 0) & (rows.score <= 1)).all()
    assert (np.isnan(rows.xy).any(-1) == (rows.score == 0)).all()
    assert np.isnan(rows.xy[..., 0]).tolist() == np.isnan(rows.xy[..., 1]).tolist()


def test_a_picture_without_people_is_a_table_without_rows():
    rows = Detections2D.build(COCO, 0, 0, np.zeros((0, 17, 2)), np.zeros((0, 17)), 1.0)
    assert len(rows) == 0 and rows.xy.shape == (0, 17, 2)
    assert joint_box(rows.xy).shape == (0, 4) and body_size(rows.box).shape == (0,)
    nobody = Detections2D.build(COCO, 0, 0, np.full((1, 17, 2), np.nan), np.ones((1, 17)), 1.0)
    assert len(nobody) == 1 and np.isnan(nobody.box).all() and np.isnan(nobody.noise_px).all()


def test_an_unsure_joint_and_a_large_body_are_noisier():
    xy = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    sure, unsure, large = (
        Detections2D.build(COCO, 0, 0, k * xy, np.full((1, 17), score), 1.0).noise_px
        for k, score in ((1, 1.0), (1, 0.5), (3, 1.0))
    )
    np.testing.assert_allclose(unsure, 2 * sure, rtol=1e-6)
    np.testing.assert_allclose(large, 3 * sure, rtol=1e-5)


@pytest.mark.parametrize(
    "rows",
    [slice(1, 4), [2, 0], np.array([True, False, True, False, False, False]), np.zeros(0, np.int64), slice(0, 0)],
    ids=["slice", "list", "mask", "none", "empty"],
)
def test_indexing_keeps_the_type(rows):
    table = detections()
    picked = table[rows]
    assert type(picked) is Detections2D and picked.skeleton is COCO
    assert len(picked) == len(table.xy[rows])
    for name in Detections2D.columns():
        assert np.array_equal(getattr(picked, name), getattr(table, name)[rows], equal_nan=True)
        assert getattr(picked, name).dtype == getattr(table, name).dtype


def test_columns_have_their_shapes_and_types():
    table = detections()
    arrays = table.arrays()
    wrong = {"xy": arrays["xy"][:, :16], "score": arrays["score"][:5], "frame": arrays["frame"][:, None], "box": 3.0}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=rf"Detections2D\.{name} has shape"):
            Detections2D.from_arrays(COCO, {**arrays, name: value})
    with pytest.raises(ValueError, match="skeleton blazepose33"):
        Detections2D.from_arrays(SKELETONS["blazepose33"], arrays)
    with pytest.raises(KeyError, match="noise_px"):
        Detections2D.from_arrays(COCO, {name: value for name, value in arrays.items() if name != "noise_px"})


def test_tables_are_frozen_and_own_their_columns():
    source = detections().arrays()
    frame = source["frame"].copy()
    table = Detections2D.from_arrays(COCO, {**source, "frame": frame})
    frame[:] = 99
    assert (table.frame == 3).all()
    with pytest.raises(ValueError, match="read-only"):
        table.frame[0] = 1
    with pytest.raises(AttributeError):
        table.frame = frame  # type: ignore[misc]


def columns_of(table):
    return table.arrays().values()


def test_cutting_and_joining_gives_the_same_table():
    table = poses()
    again = Poses3D.concatenate([table[:3], table[3:3], table[3:]], COCO)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*map(columns_of, (table, again)), strict=True))
    assert len(Poses3D.concatenate([], COCO)) == 0 == len(Poses3D.empty(COCO))


def test_dense_puts_people_in_their_places():
    table = poses()
    dense = table[table.frame != 4].dense(12, np.array([2, 1, 7]))
    assert dense.shape == (12, 3, 17, 3) and np.isnan(dense[[4, 10, 11]]).all() and np.isnan(dense[:, 2]).all()
    assert np.array_equal(dense[5, 0], table.xyz[(table.frame == 5) & (table.person == 2)][0], equal_nan=True)


def test_packed_covariances_are_symmetric_ones():
    factor = np.random.default_rng(0).normal(size=(4, 5, 3, 3))
    matrix = factor @ factor.swapaxes(-1, -2)
    np.testing.assert_array_equal(full_covariance(packed_covariance(matrix))[..., 0, 1], matrix[..., 0, 1])
    np.testing.assert_allclose(full_covariance(packed_covariance(matrix)), matrix, rtol=1e-12)


# Archives


def write_at_another_time(path, columns, monkeypatch):
    monkeypatch.setattr("time.localtime", lambda *_: (2031, 2, 3, 4, 5, 6, 0, 1, 0))
    npz.write_npz(path, columns)


def test_equal_arrays_make_equal_files(tmp_path, monkeypatch):
    columns = detections().arrays()
    npz.write_npz(tmp_path / "a.npz", columns)
    write_at_another_time(tmp_path / "b.npz", {k: np.asfortranarray(v) for k, v in columns.items()}, monkeypatch)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive.files == list(columns)
        assert all(archive[name].tobytes() == columns[name].tobytes() for name in columns)


@given(cuts=st.lists(st.integers(0, 20), max_size=4))
def test_streaming_equals_writing_at_once(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("npz")
    columns = poses().arrays()
    npz.write_npz(folder / "whole.npz", columns)
    edges = [0, *sorted(cuts), 20]
    with npz.NpzStream(folder / "pieces.npz") as stream:
        for name, column in columns.items():
            stream.begin(name, column.shape, column.dtype)
            for start, stop in pairwise(edges):
                stream.extend(column[start:stop])
    assert (folder / "pieces.npz").read_bytes() == (folder / "whole.npz").read_bytes()


def test_a_broken_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    npz.write_text(path, "old")
    with pytest.raises(RuntimeError), npz.written_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(SessionError, match="No space left") as caught, npz.written_whole(path):
        raise OSError(28, "No space left on device")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(SessionError, match="cannot be written"):
        npz.write_text(path / "below" / "b.txt", "x")


@pytest.mark.parametrize(
    ("number", "todo"),
    [(errno.EACCES, "permission"), (errno.EPERM, "permission"), (errno.EROFS, "permission"), (errno.ENOSPC, "space")],
)
def test_what_to_do_about_a_file_that_cannot_be_written_fits_the_reason(tmp_path, number, todo):
    with pytest.raises(SessionError) as caught, npz.written_whole(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert todo in str(caught.value).partition("; ")[2] and ("free some space" in str(caught.value)) == (
        todo == "space"
    )
    wrapped = RigFileError("cannot be written")
    wrapped.__context__ = OSError(number, os.strerror(number))  # as `raise ... from None` leaves it
    assert todo in npz.remedy(wrapped, "go elsewhere")


# Artefacts


def origin(settings=None, version=1, **inputs):
    return Origin("track", version, settings or {"gate": 3.0, "deep": {"a": [1, 2], "b": "x"}}, {"rig": "r", **inputs})


def filled(folder, frames=25, step=10, kind=Poses3D):
    artefact = Artefact(folder / "track", kind)
    artefact.begin(origin(), "coco17", frames, step)
    table = poses(frames)
    for start, stop in artefact.ranges():
        artefact.write(start, table[(table.frame >= start) & (table.frame < stop)], {"next": np.array(start)})
    return artefact, table


def test_chunks_come_back_with_their_states(tmp_path):
    artefact, table = filled(tmp_path)
    assert artefact.ranges() == [(0, 10), (10, 20), (20, 25)] and not artefact.complete
    artefact.finish(seconds=1.5)
    assert artefact.complete and artefact.manifest["seconds"] == 1.5 and artefact.name == "track"
    again = Poses3D.concatenate(list(artefact.chunks()), COCO)
    assert again.xyz.tobytes() == table.xyz.tobytes() and again.person.tobytes() == table.person.tobytes()
    assert artefact.state(10)["next"] == 10
    artefact.begin(origin(), "coco17", 25, 10)
    assert artefact.complete and artefact.fingerprint == origin().fingerprint


def test_fingerprints_follow_everything_and_only_that():
    same = Origin("track", 1, {"deep": {"b": "x", "a": (1, 2)}, "gate": 3.0}, {"rig": "r"})
    assert same.fingerprint == origin().fingerprint
    others = [origin({"gate": 3.5}), origin(version=2), origin(triangulate="t"), Origin("refine", 1, {}, {})]
    assert len({other.fingerprint for other in [origin(), *others]}) == 5


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (origin({"gate": 4.0, "deep": {"a": [1, 2], "b": "x"}}), "gate was 3.0, now 4.0"),
        (origin({"gate": 3.0, "deep": {"a": [1, 3], "b": "x"}}), r"deep\.a was \[1, 2\], now \[1, 3\]"),
        (origin({"gate": 3.0, "deep": {"a": [1, 2]}}), r"deep\.b was 'x', now None"),
        (origin(rig="other"), "input rig"),
        (origin(triangulate="more"), "input triangulate"),
        (origin(version=2), "another version"),
    ],
)
def test_another_origin_is_refused_and_named(tmp_path, wanted, words):
    artefact, _ = filled(tmp_path)
    with pytest.raises(StaleError, match=words) as caught:
        artefact.begin(wanted, "coco17", 25, 10)
    assert "--redo track" in str(caught.value) and "\n" not in str(caught.value)
    assert artefact.has(10)
    artefact.remove()
    artefact.begin(wanted, "coco17", 25, 10)
    assert not artefact.has(0) and artefact.fingerprint == wanted.fingerprint


def test_removal_is_whole_and_may_be_asked_for_twice(tmp_path):
    artefact, _ = filled(tmp_path)
    artefact.remove()
    artefact.remove()
    assert not artefact.folder.exists() and artefact.manifest is None and not artefact.complete
    with pytest.raises(SessionError, match="has no track yet; run `mvcap track`"):
        artefact.ranges()


def damage(path, how):
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "noise":
        path.write_bytes(bytes(range(256)) * 20)
    elif how == "flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes(255 - b for b in data[middle : middle + 40]) + data[middle + 40 :])
    elif how == "other":
        np.savez(path, a=1)
    elif how == "pickle":
        np.savez(path, **{name: np.array([{}]) for name in Poses3D.columns()})
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["cut", "empty", "noise", "flipped", "other", "pickle", "gone"])
def test_a_damaged_chunk_is_named_with_the_way_out(tmp_path, how):
    artefact, _ = filled(tmp_path)
    damage(artefact.folder / "0000010.npz", how)
    with pytest.raises(SessionError, match=r"0000010\.npz cannot be read .*--redo track") as caught:
        list(artefact.chunks())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\xff", "[1]", "null", '{"format": 1}'])
def test_a_damaged_manifest_is_named_with_the_way_out(tmp_path, text):
    artefact, _ = filled(tmp_path)
    (artefact.folder / "manifest.json").write_bytes(text.encode("latin-1"))
    for use in (artefact.ranges, lambda: artefact.complete, lambda: artefact.begin(origin(), "coco17", 25, 10)):
        with pytest.raises(SessionError, match=r"manifest\.json is damaged .*remove the folder") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_an_interrupted_stage_goes_on_with_its_state(tmp_path):
    class Take:
        frames, folder = 25, tmp_path

    def make(start, stop, state):
        begun.append(start)
        if len(begun) == dies_at:
            raise KeyboardInterrupt
        count = state.get("count", np.array(0)) + stop - start
        rows = table[(table.frame >= start) & (table.frame < stop)]
        return rows.with_columns(group=np.full(len(rows), count)), {"count": count}

    table, results = poses(25), []
    for dies_at in (0, 1, 2, 3):
        artefact, begun = Artefact(tmp_path / str(dies_at), Poses3D), []
        if dies_at:
            with pytest.raises(KeyboardInterrupt):
                stages.run_stage(Take, artefact, origin(), "coco17", make, lambda *_: None, 10)
            assert not artefact.complete
        stages.run_stage(Take, artefact, origin(), "coco17", make, lambda *_: None, 10)
        assert begun == [0, 10, 20] if not dies_at else begun[dies_at:] == [0, 10, 20][dies_at - 1 :]
        results.append([(artefact.folder / f"{start:07d}.npz").read_bytes() for start, _ in artefact.ranges()])
        assert artefact.complete and json.loads((artefact.folder / "manifest.json").read_text())["complete"]
    assert all(result == results[0] for result in results)
    assert zipfile.is_zipfile(artefact.folder / "0000020.npz")
