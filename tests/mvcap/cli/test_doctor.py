"""``mvcap doctor``: the machine, the table of names and the file of defaults."""

import json
from itertools import pairwise
from pathlib import Path

import yaml
from built_page import needs_page
from click.testing import CliRunner

from mvcap import plugins
from mvcap.cli import doctor, settings
from mvcap.cli.main import cli

DEFAULT_YAML = Path(__file__).parents[3] / "configs" / "default.yaml"


def run(*words):
    done = CliRunner().invoke(cli, ["doctor", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_file_of_defaults_is_what_the_code_says():
    """A new setting or plug-in comes into the file by: mvcap doctor --defaults > configs/default.yaml"""
    text = run("--defaults")
    assert text == settings.document() == DEFAULT_YAML.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == json.loads(run("--defaults", "--json"))
    assert max(map(len, text.splitlines())) <= 120
    for above, line in pairwise(text.splitlines()):
        assert ": " not in line or line.strip().startswith("#") or above.strip().startswith("#"), f"{line}: no comment"


def test_every_name_of_the_table_is_listed():
    rows = json.loads(run("--plugins", "--json"))
    assert {(row["kind"], row["name"]): row["target"] for row in rows} == {
        (kind, name): target for kind, names in plugins.TABLE.items() for name, target in names.items()
    }
    assert {row["kind"]: row["name"] for row in rows if row["default"]} == plugins.DEFAULT
    assert all(len(row["about"]) > 15 for row in rows)
    text = run("--plugins")
    assert text.count("\n") == len(rows) + 1 and "bones *" in text and "package.module:Name" in text


def test_the_machine():
    checks = {check["subject"]: check for check in json.loads(run("--json"))}
    assert checks["python"]["state"] == "ok" and checks["numpy"]["state"] == "ok"
    assert all(check["detail"] for check in checks.values()) and doctor.COMMANDS[0].name == "doctor"


@needs_page
def test_what_the_viewer_and_open3d_lack_is_said_with_the_way_out(monkeypatch, tmp_path):
    from mvcap import doctor as checks

    assert checks._viewer().state == "ok"
    monkeypatch.setattr(checks, "__file__", str(tmp_path / "doctor.py"))
    assert checks._viewer().state == "missing" and "tools/setup" in checks._viewer().detail
    monkeypatch.setattr(checks.sys, "platform", "linux")
    monkeypatch.setattr(checks, "_version", lambda name: "0.20" if name == "open3d-cpu" else None)
    monkeypatch.setattr(checks, "find_library", lambda name: None)
    (found,) = checks._usb()
    assert found.state == "broken" and "libusb-1.0-0" in found.detail
    monkeypatch.setattr(checks, "find_library", lambda name: "libusb-1.0.so.0")
    assert checks._usb() == []
