"""The locked files: every package that the two commands install has a version and the hashes of its files."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tools").glob("constraints*.txt"))}
BLOCK = re.compile(r"([a-z0-9.-]+)==(\S+)( ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)")


def blocks(name):
    lines = [line for line in FILES[name].splitlines() if not line.startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_a_version_and_hashes_and_no_address(name):
    assert all(BLOCK.fullmatch(block) for block in blocks(name)), [b for b in blocks(name) if not BLOCK.fullmatch(b)][
        :1
    ]
    assert "://" not in FILES[name]


def test_all_that_mvcap_and_its_tests_need_is_in_the_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    needed = [
        *project["project"]["dependencies"],
        *extras["learn"],
        *extras["test"],
        *project["build-system"]["requires"],
    ]
    locked = {normal(block.partition("==")[0]) for block in blocks("constraints.txt")}
    assert {normal(re.match(r"[\w.-]+", one)[0]) for one in needed} <= locked


def test_setup_installs_them_with_their_hashes():
    text = (ROOT / "tools" / "setup").read_text(encoding="utf-8")
    assert all(name in text for name in FILES) and text.count("--require-hashes") == 2
    assert all("--no-deps" in line for line in text.splitlines() if "pip install" in line)
