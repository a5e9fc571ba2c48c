"""The house holds together: floors, circles, sizes, tree, targets, packaging; leaves behaviour to others."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import pytest
import readme_tree
import yaml

from crucible.engines.native.library import find_library, load_library

ROOT = readme_tree.ROOT
#: Lowest first: a file imports from its own floor and from floors below it.
FLOORS = ("blueprints", "curricula", "crucible", "hall_of_fame", "architect", "tamiyo")
ABOVE = ("scripts", "benchmarks", "tests")
#: What the three lowest floors may import besides the standard library.
LIGHT = {"torch", "numpy", "networkx"}
#: The files of the language that need torch.
WITH_TORCH = ("blueprints.compiler", "blueprints.modules", "blueprints.exporting", "blueprints.pyg")
#: Packages of the extra `interop` that a file imports inside the functions which need them.
ON_DEMAND = {
    "blueprints.exporting": {"onnx", "onnxruntime", "onnxscript"},
    "blueprints.pyg": {"torch_geometric"},
}
#: Files over 500 lines, each with its reason.
LONG: dict[str, str] = {}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module: `name` as written; `deferred`: in a function; `typing`: for type checkers only."""

    name: str
    deferred: bool
    typing: bool


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in files(*FLOORS)}


def imports(path: Path) -> Iterator[Import]:
    yield from _imports(ast.parse(path.read_text()), deferred=False, typing=False)


def _imports(node: ast.AST, *, deferred: bool, typing: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(name=alias.name, deferred=deferred, typing=typing)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports name their package"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield Import(
                name=inner if inner in MODULES else str(node.module), deferred=deferred, typing=typing
            )
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for child in node.body:
            yield from _imports(child, deferred=deferred, typing=True)
        for child in node.orelse:
            yield from _imports(child, deferred=deferred, typing=typing)
    else:
        deferred = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, deferred=deferred, typing=typing)


def top(name: str) -> str:
    return name.partition(".")[0]


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


#: The files of the language that need no torch.
CORE = [name for name in MODULES if top(name) == "blueprints" and not within(name, *WITH_TORCH)]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name: str) -> None:
    floor = FLOORS.index(top(name))
    for found in imports(MODULES[name]):
        if top(found.name) in ABOVE:
            pytest.fail(f"{name} imports {found.name}, which stands above the floors")
        if top(found.name) in FLOORS:
            below = FLOORS.index(top(found.name))
            assert below <= floor, f"{name} imports {found.name} from a floor above its own"
            if top(name) == "curricula":
                assert below == floor, f"{name} imports {found.name}, and curricula import nothing of ours"
            if top(name) in ("hall_of_fame", "architect") and top(found.name) == "crucible":
                assert found.name == "crucible.evaluation", f"{name} imports more than the Crucible's records"


def test_imports_form_no_circle() -> None:
    graph = nx.DiGraph()
    for name, path in MODULES.items():
        graph.add_edges_from((name, found.name) for found in imports(path) if not found.typing)
    circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert graph.number_of_edges() > len(MODULES)
    assert not circles
    assert not list(nx.nodes_with_selfloops(graph))


@pytest.mark.parametrize("name", [name for name in MODULES if top(name) in FLOORS[:3]])
def test_the_lowest_floors_name_light_dependencies_only(name: str) -> None:
    known = {*sys.stdlib_module_names, *FLOORS, *LIGHT}
    found = [found for found in imports(MODULES[name]) if not (found.deferred or found.typing)]
    on_demand = {top(found.name) for found in imports(MODULES[name]) if found.deferred or found.typing}
    assert {top(found.name) for found in found} <= known
    assert on_demand <= known | ON_DEMAND.get(name, set())


@pytest.mark.parametrize("name", CORE)
def test_the_core_of_the_language_names_no_torch(name: str) -> None:
    needed = [found for found in imports(MODULES[name]) if not found.typing]
    if name == "blueprints":  # the front door opens the compiler on demand
        needed = [found for found in needed if not found.deferred]
    assert not [found.name for found in needed if within(found.name, "torch", *WITH_TORCH)]


def run_python(source: str) -> None:
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_core_of_the_language_loads_without_torch() -> None:
    assert len(CORE) > 10
    run_python(f"import sys; sys.modules['torch'] = None\nimport {', '.join(CORE)}")


def test_the_lowest_floors_load_with_light_dependencies_alone() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras.values() for name in extra)]
    heavy = {re.split(r"[^\w-]", name)[0].replace("-", "_") for name in wanted} - LIGHT
    heavy |= {"hydra", "omegaconf", "yaml"}
    assert {"sqlalchemy", "rich", "lightning", "wandb"} <= heavy
    lowest = [name for name in MODULES if top(name) in FLOORS[:3]]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({sorted(heavy)!r}))"
    run_python(f"{blocked}\nimport {', '.join(lowest)}")


@pytest.mark.parametrize("path", files(*FLOORS, *ABOVE), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_say_what_they_are_for_and_stay_short(path: Path) -> None:
    source = path.read_text()
    opening = ast.get_docstring(ast.parse(source)) or ""
    assert re.match(r"[^\n]+[.?]", opening), "the first line is a docstring's sentence"
    if str(path.relative_to(ROOT)) not in LONG:
        assert source.count("\n") <= 500, "split it, or name it in LONG with a reason"


def test_long_files_are_still_long_and_have_a_reason() -> None:
    for name, reason in LONG.items():
        assert (ROOT / name).read_text().count("\n") > 500
        assert reason


def test_the_tree_in_the_readme_equals_the_files() -> None:
    shown = readme_tree.block((ROOT / "README.md").read_text())
    assert shown == readme_tree.tree(), "write it anew: make tree"


def test_the_tree_has_every_folder_that_is_tracked() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {line.partition("/")[0] for line in done.stdout.splitlines() if "/" in line}
    assert {name for name in folders if not name.startswith(".")} == set(readme_tree.FOLDERS)


@pytest.mark.parametrize("name", [*FLOORS, "configs"])
def test_each_package_is_the_one_of_this_checkout(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    assert {place.resolve() for place in places if place.is_dir()} == {ROOT / name}


def test_the_command_of_the_distribution_resolves() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="tamiyo")
    assert command.value == PROJECT["project"]["scripts"]["tamiyo"]
    assert callable(command.load())


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler: the batched engine serves")
def test_setup_built_the_native_engine_from_these_sources() -> None:
    library = find_library()
    assert library is not None, "make setup builds it"
    assert load_library().rows, "it loads, and its records are those of this checkout"
    for source in (ROOT / "crucible" / "engines" / "native" / "src").glob("[a-z]*"):
        assert source.stat().st_mtime <= library.stat().st_mtime, f"{source.name} is newer: make setup"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", "CHANGELOG.md"])
def test_make_targets_that_are_named_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:^|`|step |&& )make ([a-z]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert {"setup", "train", "test"} <= targets
    assert named <= targets


def test_the_checks_of_a_change_are_one_script() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert all(f"step make {target}" in script for target in ("setup", "lint", "test", "audit"))
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert [step["run"] for step in workflow["jobs"]["run"]["steps"] if "run" in step] == [".ci/run"]


def test_hooks_come_from_this_checkout_only() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {source["repo"] for source in hooks["repos"]} == {"local"}


def test_lint_covers_every_file() -> None:
    linted = re.search(r"^FOLDERS := (.*)", MAKEFILE, re.MULTILINE)
    assert linted is not None
    assert set(linted[1].split()) == {*FLOORS, *ABOVE}
    assert set(PROJECT["tool"]["pyright"]["include"]) == {*FLOORS, *ABOVE} - {"tests"}
    assert "exclude" not in PROJECT["tool"]["ruff"]
    assert "exclude" not in PROJECT["tool"]["pyright"]


def test_every_dependency_that_setup_installs_is_pinned() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==[\w.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    chosen = [name for extra in ("train", "interop", "dev") for name in extras[extra]]
    wanted = [*PROJECT["project"]["dependencies"], *chosen]
    assert {re.split(r"[^\w-]", name)[0] for name in wanted} <= pinned


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
