"""What the README says is so: its Python runs, its commands, files, formats and settings exist."""

import os
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic_take import RATE_HZ, ring_rig, truth, write_clip

from calib import FORMATS as CALIBRATIONS
from calib import save_rig
from mvcap import config, plugins
from mvcap.cli import settings
from mvcap.cli.main import cli
from mvcap.stages import STAGES
from mvcap.structures.poses import Provenance
from mvcap.structures.true_poses import write_true_poses

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PRESETS = sorted((ROOT / "configs").glob("*.yaml"))
FRAMES, SIZE = 25, (160, 90)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def first_column(heading):
    """Names in backticks in the first column of the table whose heading begins so."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert table, f"no table that begins with {heading!r}"
    return [name for row in table[1].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def command_lines():
    """Every `mvcap ...` line of the README's shell blocks and of the comments of the presets."""
    presets = "\n".join(path.read_text(encoding="utf-8") for path in PRESETS)
    comments = re.sub(r"^#\s*", "", presets, flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", "\n".join([*blocks("sh"), comments]))
    return re.findall(r"^mvcap (?:-v )?[a-z]+(?: .*)?$", joined, re.MULTILINE)


@cache
def known_keys():
    def walk(values, path=""):
        for key, value in values.items():
            yield f"{path}{key}"
            if isinstance(value, dict):
                yield from walk(value, f"{path}{key}.")

    return set(walk(settings.defaults()))


def test_python_runs(tmp_path, monkeypatch, capsys):
    """On two people who walk before cameras that see noise: the oracle says where they are."""
    monkeypatch.chdir(tmp_path)
    rig = ring_rig(3, size=SIZE)
    write_true_poses(tmp_path / "truth.npz", truth(FRAMES, people=2))
    save_rig(rig, Path("truth_rig.yaml"))
    for camera in rig:
        write_clip(Path("take1/videos") / f"{camera.name}.mp4", FRAMES, SIZE, RATE_HZ)
    save_rig(rig, Path("take1/rig.yaml"))
    oracle = {"poses": str(tmp_path / "truth.npz"), "rig": str(tmp_path / "truth_rig.yaml"), "noise_px": 0.2}
    changes = {"estimator": "oracle", "estimators": {"oracle": oracle}}
    Path("take1.mvcap").mkdir()
    Path("take1.mvcap/config.yaml").write_text(yaml.safe_dump(changes))
    [code] = blocks("python")
    assert len(code.splitlines()) <= 12
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith(("trust", "limits", "do not trust"))
    assert np.isfinite(names["poses"]["xyz"][names["first"]]).any()
    assert names["summary"]["frames"] == FRAMES
    assert list(Path("take1.mvcap/exports").glob("*.c3d"))
    [drawn] = [block for block in blocks("text") if block.startswith("take1.mvcap/")]
    for line in drawn.splitlines()[1:]:
        for name in re.split(r"\s{2,}", line.strip())[0].split():
            for stage in STAGES:
                assert (Path("take1.mvcap") / name.replace("STAGE", stage)).exists(), name


@pytest.mark.parametrize("line", command_lines())
def test_commands_exist(line):
    words = shlex.split(line, comments=True)[1:]
    words = words[1:] if words[0] in ("-v", "--verbose") else words
    assert words[0] in cli.commands, line
    command = cli.commands[words[0]]
    command = command.commands[words[1]] if hasattr(command, "commands") else command
    options = {text for option in command.params for text in option.opts}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            assert word in options, f"{line}: no option {word}"
        if word == "--set":
            assert value.partition("=")[0] in known_keys(), f"{line}: no setting {value}"
        if word == "--config" and value.startswith("configs/"):
            assert (ROOT / value).is_file()
        if word == "--redo" and words[0] == "reconstruct" and not value.isupper():
            assert value in STAGES


def test_options_and_verbs_in_the_text_exist():
    groups = [command for command in cli.commands.values() if hasattr(command, "commands")]
    commands = [*cli.commands.values(), *(inner for group in groups for inner in group.commands.values())]
    options = {text for command in commands for option in command.params for text in option.opts}
    bench = (ROOT / "tools" / "bench").read_text(encoding="utf-8")
    options |= {"--help", *re.findall(r'add_argument\("(--[a-z]+)"', bench)}
    named = {word for code in re.findall(r"`([^`\n]+)`", TEXT) for word in re.findall(r"(?<!\S)--[a-z-]+", code)}
    assert named <= options, named - options
    verbs = set(re.findall(r"`mvcap ([a-z]+)", TEXT))
    assert verbs <= set(cli.commands)


def test_every_verb_estimator_and_format_is_in_its_table():
    assert first_column("verb") == sorted(cli.commands, key=first_column("verb").index)
    assert set(first_column("verb")) == set(cli.commands)
    assert set(first_column("estimator")) == set(plugins.TABLE["estimator"])
    assert set(first_column("refiner")) == set(plugins.TABLE["refiner"])
    assert set(first_column("benchmark")) == set(plugins.TABLE["benchmark"])
    tables = re.findall(r"^\| format \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    read, written = ([re.findall(r"`([^`]+)`", row.split("|")[1]) for row in table.splitlines()] for table in tables)
    assert {name for names in read for name in names} == set(CALIBRATIONS)
    assert {name for names in written for name in names} == {"poses.npz", *plugins.TABLE["exporter"]}


def test_every_provenance_and_section_of_the_bench_is_in_its_table():
    codes = re.search(r"^\| code \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    told = [tuple(cell.strip() for cell in row.split("|")[1:3]) for row in codes[1].splitlines()]
    assert [int(code) for code, _ in told] == [int(one) for one in Provenance]
    for (_, words), one in zip(told, Provenance, strict=True):
        assert one.name.lower().replace("_", " ") in words
    bench = (ROOT / "tools" / "bench").read_text(encoding="utf-8")
    assert set(first_column("section")) == set(re.findall(r'^    "([a-z]+)": "benches', bench, re.MULTILINE))


def test_tools_and_linked_files_exist():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
    for tool in set(re.findall(r"`(tools/[a-z]+)", TEXT)):
        assert os.access(ROOT / tool, os.X_OK), tool
    for picture in (ROOT / "tools" / "readme").glob("*.png"):
        assert picture.stat().st_size < 250_000 and f"({picture.relative_to(ROOT).as_posix()})" in TEXT
    for picture in (ROOT / "tools" / "readme").glob("*.jpg"):
        assert f"({picture.relative_to(ROOT).as_posix()})" in TEXT
        assert picture.stat().st_size < 200_000
        assert picture.name in (picture.parent / "LICENCE.txt").read_text(encoding="utf-8")


def test_parts_of_the_tree_exist():
    [drawn] = [block for block in blocks("text") if block.startswith("calib/")]
    folder = ROOT
    for line in drawn.splitlines():
        entry = re.split(r"\s{2,}", line.strip())[0]
        for name in entry.split():
            place = (folder if line.startswith(" ") else ROOT) / name
            assert place.exists(), line
            folder = folder if line.startswith(" ") else place


def test_settings_named_exist():
    sections = "|".join(settings.defaults())
    named = re.findall(rf"`((?:{sections})\.(?!json|html)[a-z0-9_.]+)", TEXT)
    assert named
    for key in named:
        assert key in known_keys(), key


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_presets_are_settings(path):
    settings.check_overrides(config.read(path))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_key_of_a_preset_has_a_comment(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*[a-z0-9_]+:", line) and not line.rstrip().endswith(":"):
            assert "#" in line or lines[number - 1].lstrip().startswith("#") or path.name != "default.yaml", line


def test_it_speaks_of_the_project_alone():
    for path in (ROOT / "README.md", *PRESETS):
        assert not re.search(r"/home/|/root/|/tmp/|TODO", path.read_text(encoding="utf-8"))
