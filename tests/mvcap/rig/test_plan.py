"""``mvcap rig plan``: figures of rigs, a proposed one, its files, and one line for what cannot be."""

import json

import pytest
from click.testing import CliRunner
from synthetic_take import ring_rig

from calib import load_rig, save_rig
from mvcap.cli.rig import rig as command
from mvcap.errors import InputError
from mvcap.rig.plan import plan
from mvcap.rig_design import layout_search
from mvcap.rig_design.plan_request import PlanRequest, parse_kinds

REQUEST = PlanRequest(room_m=(13.0, 13.0, 3.0), area_m=(3.0, 3.0), people=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in (("_PLACES", 9), ("_DRAWS", 1), ("_ROUNDS", 1), ("_GENERATIONS", 2)):
        monkeypatch.setattr(layout_search, name, value)


def test_two_rigs_are_compared():
    made = plan(REQUEST, rigs=[ring_rig(3), ring_rig(6)])
    few, many = (one.figures.summary() for one in made.rigs)
    assert [one.name for one in made.rigs] == ["rig 1", "rig 2"] and made.notes == () and made.files == ()
    assert many["error_median_mm"] < few["error_median_mm"] and few["views_of_a_joint"] <= 3
    near = plan(PlanRequest(room_m=(6.0, 6.0, 3.0), people=1), rigs=[ring_rig(3)])
    assert "outside the room; its world must have its origin at the middle of the floor" in near.notes[0]


def test_a_layout_is_proposed_and_written(tmp_path):
    made = plan(REQUEST, kinds=parse_kinds(("3:1280x720:70",)), rigs=[ring_rig(3)], out=tmp_path / "plan")
    assert [path.name for path in made.files] == ["plan.png", "plan.json", "rig.yaml"]
    held = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert held["rigs"][1]["name"] == "proposed" and len(held["rigs"][1]["cameras"]) == 3
    assert held["rigs"][1]["cameras"][0]["field_deg"] == pytest.approx(70, abs=0.1)
    assert len(held["rigs"][0]["maps"]["error_mm"]) == len(held["rigs"][0]["maps"]["places_m"])
    assert load_rig(tmp_path / "plan" / "rig.yaml").names == ("cam01", "cam02", "cam03")
    with pytest.raises(InputError, match=r"plan\.json exists already; choose another folder with --out, or give"):
        plan(REQUEST, rigs=[ring_rig(3)], out=tmp_path / "plan" / ".." / "plan")
    assert plan(REQUEST, rigs=[ring_rig(3)], out=tmp_path / "plan", force=True).files


def test_the_command_line_prints_a_table_or_json(tmp_path):
    save_rig(ring_rig(4), tmp_path / "a.yaml")
    asked = ["plan", "--room", "13x13x3", "--area", "3x3", "--people", "1", "--rig", str(tmp_path / "a.yaml")]
    told = CliRunner().invoke(command, asked)
    lines = told.output.splitlines()
    assert told.exit_code == 0 and lines[0].split() == ["a"] and lines[1].startswith("error of a joint, median mm")
    told = CliRunner().invoke(command, [*asked, "--cameras", "2:1280x720:80:30", "--json", "--unsynchronised"])
    held = json.loads(told.output)
    assert [one["name"] for one in held["rigs"]] == ["a", "proposed"] and held["request"]["synchronised"] is False


def test_what_cannot_be_is_one_line(tmp_path):
    with pytest.raises(InputError, match="give --cameras for a layout to propose, or --rig"):
        plan(REQUEST)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; give a folder with --out"):
        plan(REQUEST, rigs=[ring_rig(3)], out=tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        plan(REQUEST, rigs=[ring_rig(3)], out=tmp_path / "file" / "in")
    told = CliRunner().invoke(command, ["plan", "--room", "8x6", "--rig", "x"])
    assert told.exit_code == 1 and "--room 8x6: give 3 lengths" in str(told.exception)
