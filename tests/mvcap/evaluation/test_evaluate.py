"""The verb evaluate: benchmarks read, run and scored; figures of others reproduced; wrong input refused in a line."""

import json

import numpy as np
import pytest
import synthetic_take as synthetic

import mvcap
from calib.formats import panoptic as studio
from calib.geometry import transform
from mvcap.benchmarks import campus, humaneva, mvor, panoptic, shelf
from mvcap.cli import main
from mvcap.errors import InputError
from mvcap.evaluation import comparison
from mvcap.evaluation.benchmark_clip import Options
from mvcap.metrics.association import actors, project_poses
from mvcap.structures.skeleton import skeleton

DATA = synthetic.recordings()
FRAMES = 15
KEYS = {
    "pcp", "recall_500", "unmatched_people_per_frame", "association", "mpjpe_mm", "id_switches", "seconds_per_frame",
    "pa_mpjpe_mm", "per_joint_mm", "ap", "ar", "mota", "idf1", "coverage", "bone_spread_percent", "jitter_mps2",
    "covariance_68", "covariance_95", "frames", "raw", "stage", "unmatched_three_views_per_frame",
}  # fmt: skip


def data(*parts):
    """A folder of recordings, or a skip that says what is missing."""
    folder = DATA.joinpath(*parts) if DATA else None
    if folder is None or not folder.is_dir():
        pytest.skip(f"no recordings {'/'.join(parts)} (see MVCAP_DATA)")
    return folder


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    """A folder of CMU Panoptic's layout with two people who walk."""
    folder = tmp_path_factory.mktemp("studio")
    poses = folder / "hdPose3d_stage1_coco19"
    poses.mkdir()
    truth = synthetic.truth(FRAMES, people=2)
    xyz = synthetic.COCO.apply(skeleton("panoptic19"), truth.xyz.astype(float))
    back = np.linalg.inv(studio.WORLD_FROM_PANOPTIC)
    for frame in range(FRAMES):
        bodies = [
            {"id": int(person) - 1, "joints19": np.c_[transform(back, one), np.ones(19)].ravel().tolist()}
            for person, one in zip(truth.person[truth.frame == frame], xyz[truth.frame == frame], strict=True)
        ]
        (poses / f"body3DScene_{frame + 100:08d}.json").write_text(json.dumps({"bodies": bodies}))
    cameras = []
    for camera in synthetic.ring_rig(6):
        pose = camera.cam_from_world @ np.diag([100.0, 100, 100, 1]) @ studio.WORLD_FROM_PANOPTIC
        pose[:3, 3] = 100 * camera.cam_from_world[:3, 3]
        cameras.append({"name": camera.name, "type": "hd", "resolution": list(camera.size), "K": camera.lens.K.tolist(),
                        "distCoef": [0] * 5, "R": pose[:3, :3].tolist(), "t": pose[:3, 3:].tolist()})  # fmt: skip
    (folder / "calibration_studio.json").write_text(json.dumps({"cameras": cameras}))
    return folder


@pytest.fixture(scope="module")
def measured(take, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "session"
    return mvcap.evaluate(
        "panoptic", take, noise_px=1.0, session=folder, views=["cam1", "cam2", "cam4", "cam5"]
    ), folder


def test_the_pipeline_is_run_and_scored(measured):
    result, folder = measured
    assert set(result) >= KEYS and KEYS - {"seconds_per_frame", "frames", "raw"} <= set(result["raw"])
    assert result["association"]["f1"] == 1 and result["recall_500"] == 100 and result["pcp"] is None
    assert result["mpjpe_mm"] < 15 and result["id_switches"] == 0 and result["unmatched_people_per_frame"] == 0
    assert result["views"] == ["cam1", "cam2", "cam4", "cam5"] and result["frames"] == FRAMES
    assert result["seconds_per_frame"] == pytest.approx(
        sum(result["stage_seconds_per_frame"][stage] for stage in ("associate", "triangulate")), rel=1e-4
    )
    json.dumps(result, allow_nan=False)
    assert (folder / "session.yaml").exists()


def test_a_result_made_elsewhere_scores_the_same(measured, take):
    from mvcap.export import write_poses

    result, folder = measured
    file = write_poses(mvcap.Session.open(folder))
    again = mvcap.evaluate("panoptic", take, poses=file)
    assert again["mpjpe_mm"] == result["mpjpe_mm"] and again["raw"]["mpjpe_mm"] == result["raw"]["mpjpe_mm"]
    assert again["association"] is None and again["seconds_per_frame"] is None
    kept = mvcap.evaluate("panoptic", take, noise_px=1.0, session=folder, views=result["views"])
    assert kept["mpjpe_mm"] == result["mpjpe_mm"] and kept["seconds_per_frame"] is None


def test_settings_are_those_of_the_pipeline(take):
    nobody = mvcap.evaluate("panoptic", take, overrides={"track": {"min_seconds": 100.0}})
    assert nobody["recall_500"] == 0 and nobody["mpjpe_mm"] is None and nobody["unmatched_people_per_frame"] == 0


# The command line


@pytest.fixture
def call(capsys):
    def called(*words):
        status = 0
        try:
            main.main(["evaluate", *map(str, words)])
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return called


def test_figures_go_to_a_file_and_side_by_side(call, take, tmp_path):
    one, plot = tmp_path / "one.json", tmp_path / "plot.png"
    status, text, error = call("panoptic", take, "--noise", "0.5", "--json", one)
    assert status == 0 and "association F1" in text and "refined" in text.splitlines()[0], error
    assert set(json.loads(one.read_text())) >= KEYS
    two = tmp_path / "two.json"
    two.write_text(one.read_text())
    status, text, _ = call("--compare", one, two, "--plot", plot)
    assert status == 0 and text.split()[:2] == ["one", "two"] and plot.read_bytes().startswith(b"\x89PNG")
    status, text, _ = call("panoptic", take, "--compare", one)
    assert status == 0 and text.split()[:3] == ["refined", "raw", "one"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say a benchmark"),
        (("shelf",), "say a benchmark"),
        (("shelf", "{tmp}", "more.json"), "say a benchmark"),
        (("shelve", "{tmp}"), "no benchmark 'shelve'; did you mean 'shelf'? there are: shelf, campus"),
        (("shelf", "{tmp}/nowhere"), "no such folder"),
        (("shelf", "{tmp}"), "calibration.json: cannot be read"),
        (("campus", "{tmp}"), "calibration_campus.json: cannot be read"),
        (("mvor", "{tmp}"), "camma_mvor_2018.json: cannot be read"),
        (("mvor", "{tmp}", "--detections", "best"), "there are labels, openpose, rtpose"),
        (("panoptic", "{tmp}"), "no hdPose3d_stage1_coco19"),
        (("humaneva", "{tmp}"), "data_3d_humaneva15.npz: cannot be read"),
        (("shelf", "{tmp}", "--noise", "2"), "shelf has no choice of --noise"),
        (("shelf", "{tmp}", "--noise", "-2"), "--noise"),
        (("--compare", "{tmp}/none.json"), "cannot be read as figures"),
        (("panoptic", "{take}", "--poses", "{tmp}/none.npz"), "cannot be read as poses"),
        (("panoptic", "{take}", "--views", "cam1,cam9"), "no camera is named 'cam9'"),
        (("panoptic", "{take}", "--clips", "song"), "no clip song"),
        (("panoptic", "{take}", "--set", "track.gate=3"), "unknown config key"),
        (("panoptic", "{take}", "--set", "associator=nobody"), "no associator 'nobody'"),
    ],
)
def test_what_cannot_be_used_is_one_line(call, take, tmp_path, words, said):
    status, _, error = call(*(word.format(tmp=tmp_path, take=take) for word in words))
    assert status == 2 and error.startswith("mvcap: ") and error.count("\n") == 1 and said in error, error


def test_files_that_are_broken_are_named(tmp_path):
    (tmp_path / "gt.txt").write_text("15 2\n1\n0\n1 2 3\n")
    with pytest.raises(InputError, match="ends within frame 0"):
        shelf.read_people(tmp_path / "gt.txt")
    (tmp_path / "gt.txt").write_text("3 2\n")
    with pytest.raises(InputError, match="3 joints"):
        shelf.read_people(tmp_path / "gt.txt")
    np.savez(tmp_path / "data_3d_humaneva15.npz", positions_3d=np.array(print, dtype=object))
    with pytest.raises(InputError, match="is no array"):
        humaneva.read(tmp_path, Options())
    np.savez(tmp_path / "other.npz", poses=np.zeros(3))
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(InputError, match="no figures"):
        comparison.read([tmp_path / "none.json"])


def test_the_table_leaves_out_what_nobody_has_and_names_benchmarks_that_differ():
    text = comparison.comparison_table({"a": {"benchmark": "shelf", "recall_500": 99.5}, "b": {"benchmark": "campus"}})
    lines = text.splitlines()
    assert len(lines) == 3 and lines[1].split() == ["benchmark", "shelf", "campus"]
    assert lines[2].split()[-2:] == ["99.50", "-"]


# Real data


def test_shelf_reproduces_the_known_figures_of_4d_association():
    folder = data("shelf_dev")
    result = mvcap.evaluate("shelf", folder, poses=folder / "skel.txt")
    if result["frames"] != 225:
        pytest.skip("the figures are those of 225 frames")
    four, voxel = result["pcp"]["4da"]["actors"], result["pcp"]["voxelpose"]["actors"]
    assert (round(four[0], 2), round(four[1], 1), round(four[2], 2)) == (99.80, 92.5, 97.65)
    assert (round(voxel[0], 2), round(voxel[1], 1), round(voxel[2], 2)) == (99.76, 92.5, 98.0)
    assert result["recall_500"] == 100 and result["raw"] is None
    assert result["unmatched_three_views_per_frame"] is None


def test_shelf_truth_has_the_middle_of_the_hips_as_its_last_joint():
    table, frames = shelf.read_people(data("shelf_dev") / "gt.txt")
    assert frames > table.frame.max() and table.skeleton.name == "shelf15"
    np.testing.assert_allclose(table.xyz[:, 14], table.xyz[:, 2:4].mean(1), atol=1e-4)
    [clip] = shelf.read(data("shelf_dev"), Options(views=("0", "3")))
    assert clip.rig.names == ("0", "3") and clip.truth.skeleton.name == "shelf14"
    seen = project_poses(clip.truth, clip.rig)
    assert (actors(seen, seen) == seen.person).mean() > 0.97


def test_campus_counts_the_frames_and_people_of_its_protocol():
    [clip] = campus.read(data("motion", "campus"), Options(noise_px=2.0))
    assert clip.scored.sum() == 222 and clip.frames == 401
    scored = clip.truth[clip.scored[clip.truth.frame]]
    assert np.bincount(scored.person).tolist() == [0, 49, 189, 138]
    xy = clip.rig.project(clip.truth.xyz.astype(float))
    inside = ((xy > 0) & (xy < [360, 288])).all(-1)
    assert inside.mean() > 0.5


def test_mvor_labels_lie_where_its_poses_are_seen():
    [clip] = mvor.read(data("mvor_dev"), Options())
    assert clip.moments and clip.frames == 387 and len(clip.truth) == 573
    seen = project_poses(clip.truth, clip.rig)
    where = {
        key: row for row, key in enumerate(zip(clip.labels.frame, clip.labels.view, clip.labels.person, strict=True))
    }
    both = [
        (row, where[key])
        for row, key in enumerate(zip(seen.frame, seen.view, seen.person, strict=True))
        if key in where
    ]
    ours, theirs = np.array(both).T
    apart = np.linalg.norm(seen.xy[ours] - clip.labels.xy[theirs], axis=-1)
    median = np.nanmedian(apart, axis=0)
    assert len(both) > 1000 and (median < 15).all()  # another order of joints would be 30 px and more
    heads = clip.truth.xyz[:, 0, 2]
    assert 1.3 < np.nanmedian(heads) < 1.9
    [found] = mvor.read(data("mvor_dev"), Options(detections="openpose", views=("cam1", "cam3")))
    assert found.rig.names == ("cam1", "cam3") and set(np.unique(found.labels.view)) == {0, 1}


def test_panoptic_clips_share_a_calibration():
    clips = panoptic.read(data("motion", "panoptic_band"), Options())
    assert [clip.name for clip in clips] == ["160906_band1", "160906_band2"]
    for clip in clips:
        assert clip.frames == 20 and len(clip.rig) == 5 and len(np.unique(clip.truth.person)) == 3
        assert 0.8 < np.nanmedian(clip.truth.xyz[:, 0, 2]) < 1.8
    assert [clip.name for clip in panoptic.read(data("motion", "panoptic_band"), Options(clips=("160906_band2",)))] == [
        "160906_band2"
    ]


def test_humaneva_bodies_stand_and_their_left_is_left():
    clips = humaneva.read(data("motion", "humaneva"), Options(clips=("S1-Walking", "S2-Walking")))
    for clip in clips:
        kind = clip.truth.skeleton
        xyz = {joint: clip.truth.xyz[:, kind.index(joint)].astype(float) for joint in kind.joints}
        assert (xyz["head"][:, 2] > xyz["thorax"][:, 2]).mean() > 0.9
        across = xyz["left_hip"] - xyz["right_hip"]
        ahead = np.cross(across, [0, 0, 1.0])
        walked = np.gradient(xyz["pelvis"], axis=0)
        assert ((ahead * walked).sum(-1) > 0).mean() > 0.9
        seen = clip.rig.project(clip.truth.xyz.astype(float))
        assert ((seen > 0) & (seen < [1280, 720])).all(-1).mean() > 0.95
