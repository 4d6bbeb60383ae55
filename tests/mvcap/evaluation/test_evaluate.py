"""The verb evaluate: benchmarks read, run and scored; figures of others reproduced; wrong input refused in a line."""

import json

import pytest
import synthetic_take as synthetic
from benchmark_folders import write_panoptic

import mvcap
from mvcap.cli import main
from mvcap.errors import InputError
from mvcap.evaluation import comparison

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
    write_panoptic(folder, FRAMES)
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
    from mvcap.export import write_pose_file

    result, folder = measured
    file = write_pose_file(mvcap.Session.open(folder))
    again = mvcap.evaluate("panoptic", take, poses=file)
    assert again["mpjpe_mm"] == result["mpjpe_mm"] and again["raw"]["mpjpe_mm"] == result["raw"]["mpjpe_mm"]
    assert again["association"] is None and again["seconds_per_frame"] is None
    kept = mvcap.evaluate("panoptic", take, noise_px=1.0, session=folder, views=result["views"])
    assert kept["mpjpe_mm"] == result["mpjpe_mm"] and kept["seconds_per_frame"] is None


def test_settings_are_those_of_the_pipeline(take):
    nobody = mvcap.evaluate("panoptic", take, overrides={"triangulate": {"min_score": 2.0}})
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
        ((), "give a benchmark"),
        (("shelf",), "give a benchmark"),
        (("shelf", "{tmp}", "more.json"), "give a benchmark"),
        (("shelve", "{tmp}"), "no benchmark 'shelve'; did you mean 'shelf'? there are: shelf, campus"),
        (("shelf", "{tmp}/nowhere"), "no such folder"),
        (("shelf", "{tmp}"), "calibration.json: cannot be read"),
        (("campus", "{tmp}"), "calibration_campus.json: cannot be read"),
        (("mvor", "{tmp}"), "camma_mvor_2018.json: cannot be read"),
        (("mvor", "{tmp}", "--detections", "best"), "available: labels, openpose, rtpose"),
        (("panoptic", "{tmp}"), "no hdPose3d_stage1_coco19"),
        (("humaneva", "{tmp}"), "data_3d_humaneva15.npz: cannot be read"),
        (("shelf", "{tmp}", "--noise", "2"), "shelf has no option --noise"),
        (("shelf", "{tmp}", "--noise", "-2"), "--noise"),
        (("--compare", "{tmp}/none.json"), "cannot be read as scores"),
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


def test_what_holds_no_figures_is_named(tmp_path):
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(InputError, match="no scores"):
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
