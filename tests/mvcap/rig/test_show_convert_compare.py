"""What a calibration file holds, the same in other formats, and how two of them differ."""

import json

import numpy as np
import pytest
from generated_people import disturbed
from synthetic_take import ring_rig

from calib import Camera, Lens, Rig, RigFileError, load_rig, save_rig
from calib import formats as calib_formats
from calib.errors import RigMismatchError
from calib.formats import FORMATS
from calib.geometry import pose, rotation_from_vector
from mvcap.errors import InputError
from mvcap.rig.compare import compare, comparison_dict
from mvcap.rig.convert import convert, written_as
from mvcap.rig.show import show

RIG = ring_rig(3, size=(640, 480))


@pytest.fixture
def file(tmp_path):
    save_rig(RIG, tmp_path / "a.yaml")
    return tmp_path / "a.yaml"


# --- show ------------------------------------------------------------------------------------------------------------


def test_facts_of_a_rig_are_those_of_its_cameras(file):
    found = show(file)
    assert found.format == "rig" and found.rig.names == RIG.names
    for one, camera in zip(found.facts.cameras, RIG, strict=True):
        assert one.name == camera.name and one.size == (640, 480)
        np.testing.assert_allclose(one.position_m, camera.position, atol=1e-9)
        ahead = camera.cam_from_world[2, :3]
        assert one.heading_deg == pytest.approx(np.degrees(np.arctan2(ahead[1], ahead[0])))
        assert one.tilt_deg == pytest.approx(np.degrees(np.arcsin(ahead[2]))) and one.roll_deg == pytest.approx(
            0, abs=1e-6
        )
        wide = 2 * np.degrees(np.arctan(320 / camera.lens.K[0, 0]))
        assert one.fov_deg[0] == pytest.approx(wide, abs=0.2) and one.bent_px == pytest.approx(0, abs=1e-6)
        assert one.middle_m == pytest.approx(np.linalg.norm(camera.position - found.facts.middle_m))
    apart = np.linalg.norm(RIG.positions[:, None] - RIG.positions, axis=-1)
    np.testing.assert_allclose(found.facts.distances_m, apart, atol=1e-9)


def test_a_turn_about_the_view_is_the_roll(tmp_path):
    camera = RIG[0]
    turned = pose(rotation_from_vector(np.array([0, 0, np.radians(10)])) @ camera.cam_from_world[:3, :3], [0, 0, 0])
    turned[:3, 3] = -turned[:3, :3] @ camera.position
    save_rig(Rig((Camera(camera.lens, turned), RIG[1])), tmp_path / "rolled.yaml")
    first, second = show(tmp_path / "rolled.yaml").facts.cameras
    assert abs(first.roll_deg) == pytest.approx(10, abs=1e-6) and second.roll_deg == pytest.approx(0, abs=1e-6)


def test_the_summary_is_json_and_holds_all(file):
    held = show(file).as_dict()
    assert json.loads(json.dumps(held, allow_nan=False)) == held
    assert held["format"] == "rig" and len(held["cameras"]) == 3 and len(held["distances_m"]) == 3
    blind = Lens("cam9", (640, 480), RIG[0].lens.K, np.array([-3.0, 0, 0, 0, 0]))  # cannot be inverted at the edges
    save_rig(Rig((Camera(blind, RIG[0].cam_from_world), RIG[1])), file.parent / "bent.yaml")
    bent = show(file.parent / "bent.yaml").as_dict()
    assert (
        json.dumps(bent, allow_nan=False) and bent["cameras"][0]["fold_px"] < 240 and bent["cameras"][0]["bent_px"] > 1
    )


def test_a_unit_that_a_file_does_not_declare_is_the_given_one(tmp_path):
    save_rig(RIG.scaled_world(1000), tmp_path / "mm.toml")
    with pytest.raises(RigFileError):
        show(tmp_path / "mm.toml")
    found = show(tmp_path / "mm.toml", unit="mm")
    np.testing.assert_allclose(found.rig.positions, RIG.positions, atol=1e-9)
    assert "mm" in found.unit
    with pytest.raises(RigFileError):
        show(tmp_path / "none.yaml")


# --- convert ---------------------------------------------------------------------------------------------------------

WRITTEN = {"toml": "b.toml", "opencv": "b.json", "qualisys": "b.qca.txt", "rig": "b.yaml", "easymocap": "b"}


@pytest.mark.parametrize("format", WRITTEN)
def test_a_rig_goes_through_a_format_and_back(file, format):
    target = file.parent / WRITTEN[format]
    convert(file, target, to=format, force=True)
    again = load_rig(target)
    assert again.names == RIG.names and [one.size for one in again] == [one.size for one in RIG]
    np.testing.assert_allclose(again.P, RIG.P, rtol=1e-4, atol=0.05)
    back = file.parent / "back.yaml"
    assert convert(target, back) == []
    np.testing.assert_allclose(load_rig(back).positions, RIG.positions, atol=1e-4)


def test_the_format_follows_from_the_name_unless_it_is_given():
    assert [written_as(name) for name in ("a.toml", "a.json", "a.qca.txt", "a.yaml", "camchain.yaml", "a")] == [
        "toml", "opencv", "qualisys", "rig", "kalibr", "rig"
    ]  # fmt: skip
    assert written_as("a.toml", "kalibr") == "kalibr" and set(WRITTEN) < set(FORMATS)


def test_what_is_lost_is_listed(file):
    lost = convert(file, file.parent / "camchain.yaml")
    assert lost and all(isinstance(one, str) and "\n" not in one for one in lost)


def test_nothing_is_overwritten_without_force(file):
    save_rig(ring_rig(2), file.parent / "b.yaml")
    before = (file.parent / "b.yaml").read_bytes()
    with pytest.raises(InputError, match=r"b\.yaml"):
        convert(file, file.parent / "b.yaml")
    assert (file.parent / "b.yaml").read_bytes() == before
    convert(file, file.parent / "b.yaml", force=True)
    assert len(load_rig(file.parent / "b.yaml")) == 3
    convert(file, file.parent / "folder", to="easymocap")
    with pytest.raises(InputError, match=r"extri\.yml"):
        convert(file, file.parent / "folder", to="easymocap")


def test_formats_that_are_only_read_or_unknown_are_refused(file):
    for to in ("vicon", "word"):
        with pytest.raises(RigFileError):
            convert(file, file.parent / "c", to=to)
    assert not (file.parent / "c").exists()


# --- compare ---------------------------------------------------------------------------------------------------------


def test_a_rig_is_like_itself_in_any_world(file):
    moved = RIG.moved(pose(rotation_from_vector(np.array([0.3, -0.5, 1.1])), np.array([3.0, -2, 0.5])))
    found = compare(file, moved)
    assert found.volume_rms_mm < 1e-6 and found.scale == pytest.approx(1) and not found.only_a and not found.only_b
    assert (
        max(one.position_mm for one in found.cameras) < 1e-6 and max(one.rotation_deg for one in found.cameras) < 1e-5
    )
    assert len(found.baselines) == 3 and all(abs(one.percent) < 1e-9 for one in found.baselines)


@pytest.mark.parametrize("factor", [0.98, 1.05])
def test_a_scale_is_fitted_and_used_only_where_it_is_asked_for(factor):
    other = RIG.scaled_world(factor)
    rigid, fitted = compare(RIG, other), compare(RIG, other, scale=True)
    assert rigid.scale == fitted.scale == pytest.approx(1 / factor)
    assert fitted.volume_rms_mm < 1e-6 < 5 < rigid.volume_rms_mm and fitted.scaled and not rigid.scaled
    assert all(one.percent == pytest.approx(100 * (factor - 1)) for one in rigid.baselines)


def test_the_camera_that_was_turned_is_the_one_that_differs():
    camera = RIG[1]
    R = rotation_from_vector(np.radians([0, 1.0, 0])) @ camera.cam_from_world[:3, :3]
    turned = Rig((RIG[0], Camera(camera.lens, pose(R, -R @ camera.position)), RIG[2]))
    rotation = [one.rotation_deg for one in compare(RIG, turned).cameras]
    assert np.argmax(rotation) == 1 and rotation[1] > 0.5 and rotation[1] > 1.5 * max(rotation[0], rotation[2])
    assert all(one.focal_percent == pytest.approx(0) for one in compare(RIG, turned).cameras)


def test_cameras_without_a_partner_are_named_and_two_are_needed():
    found = compare(RIG, ring_rig(4, size=(640, 480)).select(["cam1", "cam2", "cam4"]))
    assert found.only_a == ("cam3",) and found.only_b == ("cam4",) and len(found.cameras) == 2
    with pytest.raises(RigMismatchError):
        compare(RIG, RIG.select(["cam1"]))


def test_a_comparison_is_plain_values():
    other = disturbed(RIG, "fair")
    found = compare(RIG, other)
    held = comparison_dict(found)
    assert json.loads(json.dumps(held, allow_nan=False)) == held
    points = found.points_mm[np.isfinite(found.points_mm)]
    assert held["points"] == {
        "count": len(points), "of": len(found.points_mm), "rms_mm": pytest.approx(np.sqrt((points**2).mean())),
        "median_mm": pytest.approx(np.median(points)), "p95_mm": pytest.approx(np.percentile(points, 95)),
        "max_mm": pytest.approx(points.max()),
    }  # fmt: skip
    assert held["alignment"] == "rigid" and [one["name"] for one in held["cameras"]] == list(RIG.names)


@pytest.mark.parametrize(
    ("asked", "meant"), [("anipose", "toml"), ("Pose2Sim", "toml"), ("qualisis", "qualisys"), ("json", "opencv")]
)
def test_a_format_by_the_name_of_its_program_is_a_hint(file, asked, meant):
    with pytest.raises(RigFileError, match=f"did you mean '{meant}'"):
        convert(file, file.parent / "out", to=asked)
    assert set(calib_formats._OTHER_NAMES.values()) <= set(FORMATS) and not set(calib_formats._OTHER_NAMES) & set(
        FORMATS
    )
