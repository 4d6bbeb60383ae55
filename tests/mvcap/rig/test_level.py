"""A finished take in a level world: moved exactly, every stage still done, all or nothing."""

import json
import shutil

import numpy as np
import pytest
from synthetic_take import COCO, make_session, ring_rig, truth

import mvcap
from calib import load_rig, save_rig
from calib.geometry import invert, pose, rotation_from_vector, transform
from mvcap import stages
from mvcap.cli import main
from mvcap.errors import InputError, SessionError
from mvcap.reporting.world_frame import WorldFrame, world_reasons
from mvcap.rig import moved_session
from mvcap.rig.align import align
from mvcap.rig.level import change_of_world, evenly, level, level_poses
from mvcap.structures.poses import full_covariance
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton

FRAMES = 110  # two chunks of the associator
LATER = stages.STAGES[1:]
Z_DOWN = pose(rotation_from_vector([np.pi, 0, 0]), [0.4, -0.3, 0.2])


@pytest.fixture(scope="module")
def upside_down(tmp_path_factory):
    """A finished take whose world is z-down, its files written, without report."""
    folder = tmp_path_factory.mktemp("take")
    session = make_session(folder, FRAMES, people=2, cameras=4)
    turned = Session.create(ring_rig(4).moved(Z_DOWN), folder / "down", frames=FRAMES, rate_hz=session.rate_hz)
    turned.override({**session.overrides, "export": {"formats": ["csv"]}})
    for name in stages.STAGES:
        getattr(mvcap, name)(turned)
    mvcap.export(turned)
    return turned.folder


@pytest.fixture
def take(upside_down, tmp_path):
    return shutil.copytree(upside_down, tmp_path / "take")


def whole(folder, stage="refine"):
    poses = stages.poses(Session.open(folder), stage)
    return poses.between(0, FRAMES)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def facts(folder):
    world = WorldFrame(COCO)
    world.add(whole(folder))
    return world.facts(Session.open(folder).rig)


def test_people_stand_on_the_floor_and_the_verdict_no_longer_names_the_world(take):
    before = mvcap.report(take)["verdict"]
    assert before["level"] == "limits" and any("along -z" in reason for reason in before["reasons"])
    made = level(take)
    found = facts(take)
    assert found["tilt_deg"] < 5 and abs(found["lowest_m"]) < 0.06 and not list(world_reasons({"world": found}))
    after = json.loads((take / "report.json").read_text())["verdict"]
    others = [reason for reason in before["reasons"] if "along -z" not in reason]
    assert after["reasons"] == others or (not others and after["level"] == "trust")
    assert made.scale == 1.0 and "turned by 1" in made.lines[0]
    kept = np.abs(made.new_from_old[:3, :3] @ Z_DOWN[:3, :3] - np.eye(3)).max()
    assert kept < 0.03, "x stays, and z is that of the true world to two degrees"
    assert np.allclose(made.new_from_old[:2, 3], 0), "the origin stays above or below where it was"


def test_everything_moves_together_and_exactly(take):
    old_rig, old = Session.open(take).rig, {stage: whole(take, stage) for stage in LATER[1:]}
    made = level(take)
    rig = Session.open(take).rig
    assert rig.names == old_rig.names
    np.testing.assert_allclose(rig.cam_from_world, old_rig.moved(made.new_from_old).cam_from_world, atol=1e-12)
    for stage, before in old.items():
        after = whole(take, stage)
        R = made.new_from_old[:3, :3]
        want = transform(made.new_from_old, before.xyz.astype(float))
        np.testing.assert_allclose(after.xyz, want, atol=2e-6)
        np.testing.assert_allclose(rig.project(after.xyz), old_rig.project(before.xyz), atol=2e-3)
        np.testing.assert_allclose(
            full_covariance(after.cov), R @ full_covariance(before.cov) @ R.T, atol=1e-6 * np.nanmax(before.cov)
        )
        for name in ("frame", "person", "group", "score", "error_px", "views", "provenance"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_every_stage_counts_as_done_and_tracked_people_moved_too(take):
    states = stages.detections(Session.open(take), "associate").state(100)
    made = level(take)
    session = Session.open(take)
    ran = []
    for name in stages.STAGES:
        getattr(mvcap, name)(session, progress=lambda stage, *_: ran.append(stage))
    assert not ran
    for before, name in zip(stages.STAGES, LATER, strict=False):
        inputs = session.artefact(name, stages.Table).manifest["inputs"]
        assert inputs == {before: session.artefact(before, stages.Table).fingerprint, "rig": session.rig_identity}
    moved = stages.detections(session, "associate").state(100)
    assert moved.keys() == states.keys() and len(moved["xyz"]) == 2
    np.testing.assert_allclose(moved["xyz"], transform(made.new_from_old, states["xyz"]), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(moved["velocity"], axis=-1), np.linalg.norm(states["velocity"], axis=-1))
    np.testing.assert_array_equal(moved["calibration"], states["calibration"])


def test_a_later_stage_can_run_again_in_the_new_world(take):
    level(take)
    levelled = whole(take)
    mvcap.track(take, redo=True)
    again = mvcap.refine(take).between(0, FRAMES)
    assert np.nanmedian(np.linalg.norm(again.xyz - levelled.xyz, axis=-1)) < 0.002


def test_files_are_written_again_also_those_of_other_formats(take):
    mvcap.export(take, ["trc"])
    made = level(take)
    names = {path.name for path in made.files}
    assert names == {"poses.npz", "take.csv", "take_person01.trc", "take_person02.trc"}, "no report: there was none"
    xyz = np.load(take / "poses.npz")["xyz"]
    np.testing.assert_array_equal(xyz, whole(take).xyz)


def test_levelling_twice_changes_nothing_more(take):
    level(take)
    first = whole(take).xyz
    made = level(take)
    np.testing.assert_allclose(made.new_from_old, np.eye(4), atol=2e-4)
    np.testing.assert_allclose(whole(take).xyz, first, atol=1e-3)


def test_a_copy_leaves_the_session_as_it_is(take, tmp_path):
    before = contents(take)
    made = level(take, out=tmp_path / "new")
    assert contents(take) == before and made.session.folder == tmp_path / "new"
    assert facts(tmp_path / "new")["tilt_deg"] < 5 and (tmp_path / "new" / "poses.npz").exists()
    with pytest.raises(InputError, match="exists already"):
        level(take, out=tmp_path / "new")


def test_the_world_of_another_calibration_of_the_same_cameras(take, tmp_path):
    wanted = ring_rig(4).scaled_world(1.02).moved(pose(rotation_from_vector([0, 0, 0.7]), [1, 2, 3]))
    save_rig(wanted, tmp_path / "wanted.yaml")
    before = whole(take)
    made = level(take, like=tmp_path / "wanted.yaml")
    assert made.scale == pytest.approx(1.02)
    np.testing.assert_allclose(Session.open(take).rig.cam_from_world, wanted.cam_from_world, atol=1e-9)
    after = whole(take)
    np.testing.assert_allclose(after.xyz, transform(made.new_from_old, 1.02 * before.xyz.astype(float)), atol=3e-6)
    np.testing.assert_allclose(
        after.cov[..., [0, 3, 5]].sum(-1), 1.02**2 * before.cov[..., [0, 3, 5]].sum(-1), rtol=1e-4
    )
    save_rig(ring_rig(4), tmp_path / "wanted.yaml")
    level(take, like=tmp_path / "wanted.yaml")
    true, found = truth(FRAMES, 2).dense(FRAMES), whole(take).dense(FRAMES)
    off = np.nanmedian(np.linalg.norm(found[:, :, None] - true[:, None], axis=-1), axis=(0, 3))
    assert (off.min(0) < 0.04).all()


def test_another_calibration_is_refused_and_nothing_changes(take, tmp_path):
    before = contents(take)
    rig = ring_rig(4)
    camera = rig[1]
    bent = rotation_from_vector([0, 0.01, 0]) @ camera.cam_from_world[:3, :3]
    other = type(rig)((rig[0], type(camera)(camera.lens, pose(bent, -bent @ camera.position)), *rig.cameras[2:]))
    with pytest.raises(InputError, match=r"camera cam2 stands .* off"):
        level(take, like=other)
    with pytest.raises(InputError, match="no camera cam4"):
        level(take, like=rig.select(["cam1", "cam2", "cam3"]))
    assert contents(take) == before


def test_a_run_that_was_killed_is_finished_or_undone_by_the_next(take, monkeypatch):
    before = contents(take)
    monkeypatch.setattr(moved_session, "_stage_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        level(take)
    monkeypatch.undo()
    moved_session.finish_move(Session.open(take))
    assert contents(take) == before
    renamed = []
    in_order = moved_session._in_order

    def killed(staged):
        for number, path in enumerate(in_order(staged)):
            if number == 4:
                raise KeyboardInterrupt
            renamed.append(path)
            yield path

    monkeypatch.setattr(moved_session, "_in_order", killed)
    with pytest.raises(KeyboardInterrupt):
        level(take)
    monkeypatch.undo()
    made = level(take)  # finishes the first move, then levels what is level
    assert len(renamed) == 4 and facts(take)["tilt_deg"] < 5
    np.testing.assert_allclose(made.new_from_old, np.eye(4), atol=2e-4)
    assert not (take / ".level").exists()


def test_a_full_disk_leaves_the_session_as_it_was(take, monkeypatch):
    before = contents(take)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(moved_session, "save_rig", full)
    with pytest.raises(SessionError, match="No space left"):
        level(take)
    assert contents(take) == before


def test_what_cannot_be_levelled_is_one_line(take, tmp_path, capsys):
    save_rig(ring_rig(3), tmp_path / "rig.yaml")
    with pytest.raises(InputError, match=r"rig align .*rig\.yaml OUT --people SESSION"):
        level(tmp_path / "rig.yaml")
    stages.discard(Session.open(take), "refine")
    with pytest.raises(SystemExit) as end:
        main.main(["rig", "level", str(take)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.startswith("mvcap: ") and error.count("\n") == 1 and "refine" in error
    with pytest.raises(SessionError, match="not a session"):
        level(tmp_path)


def test_the_command_line_says_what_it_did(take, tmp_path, capsys):
    main.main(["rig", "level", str(take), "--out", str(tmp_path / "new"), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["session"] == str(tmp_path / "new") and len(said["new_from_old"]) == 4 and said["scale"] == 1
    main.main(["rig", "level", str(take)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("the take was turned by 1") and lines[-1] == f"session: {take}"


def test_rig_align_by_a_finished_session_gives_the_same_world(take, tmp_path):
    found = align(take, tmp_path / "floor.yaml", people=take)
    made = level(take)
    np.testing.assert_allclose(found.new_from_old, made.new_from_old, atol=1e-9)
    np.testing.assert_allclose(load_rig(tmp_path / "floor.yaml").positions, made.session.rig.positions, atol=1e-6)


def test_poses_and_rig_without_a_session(take):
    session = Session.open(take)
    before = whole(take)
    poses, rig, found = level_poses(before, session.rig, rate_hz=session.rate_hz)
    made = level(take)
    np.testing.assert_allclose(found.new_from_old, made.new_from_old, atol=1e-9)
    np.testing.assert_array_equal(poses.xyz, whole(take).xyz)
    np.testing.assert_allclose(rig.cam_from_world, made.session.rig.cam_from_world, atol=1e-9)
    with pytest.raises(InputError, match="give rate_hz"):
        level_poses(before, session.rig)
    with pytest.raises(InputError, match="no feet"):
        level_poses(before.to_skeleton(skeleton("mvor10")), session.rig, rate_hz=25)


def test_a_change_of_world_is_found_from_the_cameras_alone():
    rng = np.random.default_rng(5)
    for count in (2, 3, 6):
        old = ring_rig(count)
        scale, new_from_old = rng.uniform(0.5, 2), pose(rotation_from_vector(rng.normal(0, 2, 3)), rng.normal(0, 3, 3))
        new = old.scaled_world(scale).moved(new_from_old)
        found = change_of_world(old, new.reordered(new.names[::-1]))
        assert found[0] == pytest.approx(scale)
        np.testing.assert_allclose(found[1], new_from_old, atol=1e-9)
        back = change_of_world(new, old)
        np.testing.assert_allclose(back[1][:3, :3], invert(new_from_old)[:3, :3], atol=1e-9)


def test_a_long_take_is_sampled_evenly(take, monkeypatch):
    monkeypatch.setattr("mvcap.rig.level._MOST_CHUNKS", 2)
    poses = stages.poses(Session.open(take), "refine")
    monkeypatch.setattr(poses, "ranges", lambda: [(n * 10, n * 10 + 10) for n in range(5)])
    monkeypatch.setattr(poses, "read", lambda start: start)
    assert evenly(poses) == [0, 30]


def test_exports_of_a_former_name_are_named_as_of_the_old_world(take):
    old = (take / "exports" / "down.csv").read_bytes()
    line = next(line for line in level(take).lines if "old world" in line)
    assert "down.csv" in line and "take.csv" not in line and "\n" not in line
    assert (take / "exports" / "down.csv").read_bytes() == old
    (take / "exports" / "down.csv").unlink()
    assert not any("old world" in line for line in level(take).lines)
