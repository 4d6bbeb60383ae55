"""The script of the page is built once from its sources, and a page that is not built says what to run."""

import importlib.util
from pathlib import Path

import pytest
from built_page import needs_page

from mvcap.errors import InputError
from mvcap.viewers import browser_page

TOOL = Path(__file__).parents[3] / "tools" / "viewer_page.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("viewer_page", TOOL)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@needs_page
def test_the_script_there_is_of_these_sources(tool, monkeypatch):
    assert tool.is_built()
    monkeypatch.setattr(tool.subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be built"))
    tool.build()


def test_what_was_built_once_needs_no_network_again(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path / "cache"))
    page = tmp_path / "page"
    page.mkdir()
    (page / "main.js").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(tool, "PAGE", page)
    monkeypatch.setattr(tool.subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be fetched"))
    kept = tool._kept()
    kept.parent.mkdir(parents=True)
    kept.write_text(tool._first_line() + "built before", encoding="utf-8")
    tool.build()
    assert tool.is_built() and (page / "viewer.js").read_text(encoding="utf-8").endswith("built before")


def test_other_sources_are_built_again(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path / "cache"))
    for name in ("main.js", "package.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    monkeypatch.setattr(tool, "PAGE", tmp_path)
    monkeypatch.setattr(tool, "_npm", lambda place: ["/bin/npm"])
    ran = []

    def run(command, cwd, **_):
        ran.append(command[1])
        program = cwd / "node_modules" / "@esbuild" / "this-machine" / "bin" / "esbuild"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch()
        (cwd / "viewer.js").write_text("built", encoding="utf-8")

    monkeypatch.setattr(tool.subprocess, "run", run)
    assert not tool.is_built()
    tool.build()
    assert ran == ["ci", "main.js"] and tool.is_built() and tool._kept().is_file()
    (tmp_path / "main.js").write_text("other", encoding="utf-8")
    assert not tool.is_built()


def test_a_page_that_is_not_built_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(browser_page, "_FOLDER", tmp_path)
    with pytest.raises(InputError, match="not built; run tools/setup") as caught:
        browser_page.page_file("viewer.js")
    assert "\n" not in str(caught.value)


def test_versions_are_fixed_by_their_hashes_and_name_no_host():
    import json

    lock = (Path(browser_page.__file__).parent / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(lock)["packages"]
    assert all("integrity" in about for name, about in packages.items() if name) and "http" not in lock
    assert (
        packages["node_modules/three"]["version"]
        == json.loads((Path(browser_page.__file__).parent / "package.json").read_text(encoding="utf-8"))[
            "dependencies"
        ]["three"]
    )
