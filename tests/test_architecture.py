"""The form of the house: who may import whom, what is loaded when, how long things get, and what files are called."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("calib", "mvcap")
HEAVY = {
    "torch", "open3d", "anny", "onnxruntime", "ai_edge_litert", "cv2", "av", "scipy", "matplotlib", "pyarrow", "ezc3d",
    "jinja2", "rich",
}  # fmt: skip
DRAWERS = {"utils", "util", "common", "base", "core", "misc", "helpers", "helper", "stuff", "lib", "tools"}
LONGEST_FUNCTION, LONGEST_FILE = 60, 420
HELP_S = 0.3

FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
GROUND = {"errors", "config", "progress", "plugins", "stages", "assets", "downloads", "version"}
"""Files at the top of mvcap that are no subcommand."""
NOUNS = "structures"
KIND = {
    "estimators": "estimator", "associators": "associator", "refiners": "refiner", "exporters": "exporter",
    "benchmarks": "benchmark", "tasks": "task", "densifiers": "densifier",
    "viewers": "viewer", "sources": "source", "synchronisers": "synchroniser",
    "jobs": "job", "runners": "runner", "body_models": "body_model", "datasets/formats": "dataset_format",
    "lifters": "lifter", "root_depths": "root_depth",
}  # fmt: skip
"""Rooms whose files are alternatives of a verb, by their kind in the table of names."""
GENERATORS = {"datasets"}
"""A room of kinds of datasets, which verbs call by themselves: nothing names them."""
FLOORS = (
    {"calib", "errors", "progress", "downloads", "nn", "version"},
    {"config", "assets", "board"},
    {"structures", "weights"},
    {
        "plugins", "stages", "init", "association", "triangulation", "tracking", "estimation", "refinement",
        "densification", "synthesis", "drawing", "body_fitting", "metrics", "evaluation", "footage_checks",
        "recording", "rendering", "lifting",
    },
    {"reporting"},
    {
        "estimators", "associators", "refiners", "benchmarks", "datasets", "self_calibration", "estimate",
        "densifiers", "cloud", "associate", "triangulate", "track", "refine", "export", "exporters", "doctor",
        "check", "sources", "record", "streaming", "batching", "rig_design", "body_models", "lifters",
        "root_depths",
        "integration",
    },
    {
        "calibration", "training", "report", "evaluate", "viewers", "synchronisation", "live", "runners", "generate",
        "mesh",
    },
    {"tasks", "rig", "calibrate", "train", "view", "synchronisers", "sync", "batch"},
    {"reconstruct"},
    {"jobs"},
    {"mvcap"},
    {"cli"},
)  # fmt: skip
"""Rooms and files of mvcap from the ground up; each imports what is below it, or its own room, and nothing above."""
NETWORKS = "nn"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST, inside_functions: bool) -> list[ast.AST]:
    """Every node that runs: blocks for type checkers left out, and the insides of functions if so asked."""
    found = []
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        found.append(child)
        if inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += statements(child, inside_functions)
    return found


def targets(module: str, node: ast.AST) -> set[str]:
    """Modules that an import statement names; ``from mvcap import stages`` is mvcap.stages."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    base = node.module or ""
    if node.level:
        parts = module.split(".") + (["__init__"] if MODULES[module].name == "__init__.py" else [])
        base = ".".join([*parts[: -node.level], *([base] if base else [])])
    named = {f"{base}.{alias.name}" for alias in node.names}
    inner = {name for name in named if name in MODULES}
    return inner | ({base} if inner != named else set())


@cache
def imports(module: str, inside_functions: bool = True) -> frozenset[str]:
    tree = tree_of(MODULES[module])
    return frozenset(name for node in statements(tree, inside_functions) for name in targets(module, node))


def place_of(module: str) -> str:
    """Room, or file beside the rooms, of mvcap that a module is or is in; "calib", or "mvcap" for the public face."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] or package if package == "mvcap" else package


def room_of(module: str) -> str:
    """The folder of mvcap that a module is in; "" for those beside the folders."""
    place = place_of(module)
    return place if (ROOT / "mvcap" / place).is_dir() else ""


def folder_of(module: str) -> str:
    """The folder of mvcap that a module's file is in, with the folders above it: ``datasets/formats``."""
    return MODULES[module].parent.relative_to(ROOT / "mvcap").as_posix()


def floor_of(module: str) -> int:
    place = place_of(module)
    return next(floor for floor, places in enumerate(FLOORS) if place in places)


def alternatives(room: str) -> set[str]:
    """Stems that the table of names has in a room."""
    from mvcap import plugins

    targets = plugins.TABLE[KIND[room]].values()
    return {target.partition(":")[0].rpartition(".")[2] for target in targets}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_there_is_something_to_look_at():
    assert len(MODULES) > 40 and {"mvcap.cli.main", "mvcap.structures.session", "calib.rig"} <= set(MODULES)
    assert imports("mvcap.estimate") >= {"mvcap.plugins", "mvcap.stages", "mvcap.structures.session"}


def test_calib_never_imports_mvcap():
    for module in MODULES:
        if module.startswith("calib"):
            assert not {name for name in imports(module) if name.split(".")[0] == "mvcap"}, module


def test_calib_works_where_there_is_no_mvcap():
    result = python(
        "import sys; sys.modules['mvcap'] = None\n"
        "import calib, pkgutil, importlib\n"
        "for found in pkgutil.walk_packages(calib.__path__, 'calib.'): importlib.import_module(found.name)\n"
        "assert not [name for name in sys.modules if name.startswith('mvcap.')]"
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_modules_import_each_other(package):
    edges = {
        module: {name for name in imports(module, inside_functions=False) if name in MODULES and name != "mvcap"}
        for module in MODULES
        if module.split(".")[0] == package and module != "mvcap"
    }
    assert circles(edges) == []


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Circles by depth-first search, one a way back."""
    found, done = [], set()

    def walk(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
        elif module not in done:
            for name in sorted(edges.get(module, ())):
                walk(name, [*way, module])
            done.add(module)

    for module in edges:
        walk(module, [])
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]


def test_every_file_and_room_has_its_floor():
    places = {place_of(module) for module in MODULES if module.startswith("mvcap")} | {"calib"}
    assert places == set().union(*FLOORS)
    assert len([place for floor in FLOORS for place in floor]) == len(places)  # each once


def test_imports_run_downstairs():
    for module in MODULES:
        for name in imports(module):
            inside = name in MODULES and name.split(".")[0] == "mvcap" and module.split(".")[0] == "mvcap"
            if inside and place_of(name) != place_of(module):
                assert floor_of(name) < floor_of(module), f"{module} imports {name}, which is not below it"


def test_no_two_rooms_import_each_other():
    edges: dict[str, set[str]] = {}
    for module in MODULES:
        if module.startswith("mvcap."):
            inside = {place_of(name) for name in imports(module) if name.startswith("mvcap.") and name in MODULES}
            edges.setdefault(place_of(module), set()).update(inside - {place_of(module)})
    assert circles(edges) == []


def test_top_of_mvcap_is_verbs_and_ground():
    from mvcap.cli.main import cli

    top = {path.stem for path in (ROOT / "mvcap").glob("*.py")} - {"__init__"}
    assert top - GROUND <= set(cli.commands), top - GROUND - set(cli.commands)


def test_alternatives_are_in_the_table_of_names():
    for room in KIND:
        named = alternatives(room)
        for path in (ROOT / "mvcap" / room).glob("*.py"):
            if path.stem == "__init__" or path.stem in named:
                continue
            owners = [stem for stem in named if path.stem.startswith(f"{stem}_")]
            assert owners, f"{path} is neither in plugins.TABLE nor named after one that is"
            users = {name for name in MODULES if f"mvcap.{room.replace('/', '.')}.{path.stem}" in imports(name)}
            strange = {
                name for name in users if folder_of(name) == room and not name.split(".")[-1].startswith(owners[0])
            }
            assert not strange, f"{path.stem} serves {owners[0]}, but {strange} import it"


def test_folders_of_alternatives_are_plurals():
    assert all(room.endswith("s") for room in (*KIND, *GENERATORS, NOUNS))


def test_every_room_has_tests():
    for package in PACKAGES:
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        tested = {path.parent.name for path in (ROOT / "tests" / package).glob("*/test_*.py")}
        assert rooms <= tested, f"no tests in tests/{package} for {sorted(rooms - tested)}"


@cache
def imported_by_tests(package: str, room: str) -> frozenset[str]:
    """Modules that the tests of a room import, and those that are loaded by name in them."""
    folder = ROOT / "tests" / package / room.replace(".", "/")
    found: set[str] = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(tree_of(path)):
            found |= targets("tests", node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {name for name in MODULES if name.endswith(f".{room}.{node.value}")}
    return frozenset(found)


@pytest.mark.parametrize("module", [name for name in MODULES if name.count(".") > 1 or not name.startswith("mvcap")])
def test_every_module_is_imported_by_a_test_of_its_room(module):
    if MODULES[module].name in ("__init__.py", "__main__.py"):
        return
    package, _, rest = module.partition(".")
    room = rest.rpartition(".")[0]
    assert module in imported_by_tests(package, room), f"no test in tests/{package}/{room} imports {module}"


def public_names(path: Path) -> set[str]:
    names = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


SHARED_NAMES = {"read", "write", "sniff", "lost", "surroundings", "load", "files", "plain"}
"""Names that several modules define on purpose: contracts of modules."""


def test_public_names_are_unique():
    """Subcommands bear the names of their verbs; contracts of modules bear one name in each; all else is one thing."""
    from mvcap.cli.main import cli

    verbs = set(cli.commands) | {name for group in cli.commands.values() for name in getattr(group, "commands", ())}
    for package in PACKAGES:
        held: dict[str, str] = {}
        for module, path in MODULES.items():
            if module.split(".")[0] != package:
                continue
            for name in public_names(path) - SHARED_NAMES - verbs:
                assert name not in held, f"{name} is in {held[name]} and in {module}"
                held[name] = module


def test_networks_know_torch_and_nothing_of_the_house():
    for module in MODULES:
        if room_of(module) == NETWORKS:
            named = {name.split(".")[0] for name in imports(module)} - {
                "torch",
                "__future__",
                "typing",
                "collections",
                "math",
            }
            within = {name for name in imports(module) if name.startswith("mvcap")}
            assert named <= {"mvcap"} and all(room_of(name) == NETWORKS for name in within), module


def test_packages_do_not_import_their_own_public_face():
    for module in MODULES:
        package = module.split(".")[0]
        if package == "mvcap" and module != "mvcap" and not module.startswith("mvcap.cli"):
            assert "mvcap" not in imports(module), f"{module} imports the package itself"


def test_heavy_libraries_are_imported_where_they_are_used():
    for module in MODULES:
        if room_of(module) == NETWORKS:
            continue
        names = imports(module, inside_functions=False)
        loaded = {name.split(".")[0] for name in names} & HEAVY | {name for name in names if room_of(name) == NETWORKS}
        assert not loaded, f"{module} imports {loaded} at module level"


def test_heavy_libraries_are_not_loaded_by_the_command_line():
    result = python(f"import sys, mvcap.cli.main; print(sorted({HEAVY!r} & set(sys.modules)))")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_help_answers_at_once():
    seconds = []
    line = [sys.executable, "-m", "mvcap.cli", "--help"]
    for _ in range(5):
        before = os.times()
        result = subprocess.run(line, capture_output=True, cwd=ROOT, check=True)
        after = os.times()  # processor time of the child: others use this machine too
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert b"reconstruct" in result.stdout
    assert min(seconds) < HELP_S


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_broad_except(path):
    broad = {"Exception", "BaseException"}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{path}:{node.lineno} catches everything"
            named = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}
            assert not named & broad, f"{path}:{node.lineno} catches {named & broad}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_what_is_public_is_explained(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{path} says nothing about itself"
    for node in tree.body:
        explained(node, path)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                explained(member, path)


def explained(node: ast.AST, path: Path) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
        assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name} has no docstring"


def test_exports_are_sorted_and_true():
    for module, path in MODULES.items():
        listed = declared(tree_of(path))
        if listed is None:
            continue
        loaded = importlib.import_module(module)
        assert listed == isort_order(listed), f"{module}.__all__ is not sorted"
        assert all(hasattr(loaded, name) for name in listed), module
        if path.name == "__init__.py" and "." not in module:
            assert set(listed) == exported(module), f"{module}.__all__ is not what it exports"


def declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def isort_order(names: list[str]) -> list[str]:
    """Constants, classes, functions, each by name, as ruff sorts ``__all__``."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))


def exported(module: str) -> set[str]:
    """Public names that a package's front door binds."""
    names: set[str] = set()
    body = tree_of(MODULES[module]).body
    for node in [*body, *(inner for block in body if is_type_checking(block) for inner in block.body)]:
        if isinstance(node, ast.ImportFrom) and node.module in ("__future__", "importlib", "types", "typing"):
            continue
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


def test_public_packages_say_what_they_export():
    assert all(declared(tree_of(MODULES[package])) for package in PACKAGES)


def test_names_tell_what_is_inside():
    for path in FILES:
        relative = path.relative_to(ROOT)
        parts = [*relative.parts[:-1], relative.stem]
        assert not set(parts) & DRAWERS, relative
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*|__init__|__main__", part) for part in parts), relative
        assert len(relative.stem) >= 3, relative


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_functions_can_be_read_at_a_glance(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{path}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
