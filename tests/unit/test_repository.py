import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "recommender", "producers", "consumers")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULE_MAX_LINES = 300
FUNCTION_MAX_LINES = 45
FUNCTION_MEDIAN_LINES = 8
PARAMETERS_MAX = 8
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
OTHERS_TEXT = "producers/data"

# One letter of each stands in brackets, so that no pattern finds itself here.
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b")
LEFT_OUT = re.compile(r"\b(pytest\.ski[p]|mark\.ski[p]|mark\.xfai[l]|pytest\.xfai[l])")
REGISTRY = re.compile(
    r"pyp[i]\.(org|python)|pythonhoste[d]\.|rep[o]1?\.maven|mave[n]\.(org|apache)|crate[s]\.io|npmj[s]\.|golan[g]\.org"
    r"|debia[n]\.org|ghc[r]\.io|qua[y]\.io|docke[r]\.io",
    re.IGNORECASE,
)
HOME = re.compile(r"(?<![\w.])/(hom[e]|User[s])/\w|(?<![\w.])/(roo[t]|wor[k])/\w|\b[A-Z]:\\+User[s]", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def files() -> tuple[Path, ...]:
    """Everything that git has or would take, without the text of others."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    names = (name for name in listed if name and not name.startswith(OTHERS_TEXT))
    return tuple(path for path in (ROOT / name for name in sorted(set(names))) if path.is_file())


@cache
def modules() -> dict[str, ast.Module]:
    """Every Python file, parsed, by its path from the root."""
    found = (path for path in files() if path.suffix == ".py")
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in found}


def shipped() -> dict[str, ast.Module]:
    return {name: module for name, module in modules().items() if name.startswith(PACKAGES)}


def functions(trees: dict[str, ast.Module]) -> Iterator[tuple[str, Function]]:
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{name}:{node.lineno} {node.name}", node


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    signature = function.args
    named = [*signature.posonlyargs, *signature.args, *signature.kwonlyargs]
    starred = [star for star in (signature.vararg, signature.kwarg) if star]
    return sum(argument.arg not in {"self", "cls"} for argument in (*named, *starred))


def found_in_text(pattern: re.Pattern[str]) -> list[str]:
    places = []
    for path in files():
        lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
        name = path.relative_to(ROOT)
        places += [f"{name}:{number} {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return places


def requirements() -> list[Requirement]:
    """What the project, its extras and its build ask for."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    named = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in (*named, *PROJECT["build-system"]["requires"])]


def constraints() -> dict[str, str]:
    pins = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {canonicalize_name(name): version for name, version in pins}


def imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def make_targets() -> set[str]:
    rules = re.findall(r"^([a-z][a-z ]*):(?![=:])", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {target for rule in rules for target in rule.split()}


def test_names_say_what_is_inside() -> None:
    """No module and no folder has a name under which anything could be put."""
    parts = {part.removesuffix(".py") for name in modules() for part in name.split("/")}
    assert not parts & NAMES_THAT_SAY_NOTHING


def test_nothing_is_left_for_later() -> None:
    """No file has a mark that says that something is missing."""
    assert found_in_text(UNFINISHED) == []


def test_no_test_is_left_out() -> None:
    """Every test runs: none is skipped, none is expected to fail."""
    assert found_in_text(LEFT_OUT) == []


@pytest.mark.parametrize("pattern", [REGISTRY, HOME], ids=["registries", "homes"])
def test_no_file_knows_where_it_was_made(pattern: re.Pattern[str]) -> None:
    """No file names the host of a package registry, nor a folder of somebody's machine."""
    assert found_in_text(pattern) == []


def test_modules_are_short() -> None:
    """Outside the tests no module is longer than can be read in one go."""
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in shipped()}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_MAX_LINES} == {}


def test_functions_are_short() -> None:
    """No function is longer than a screen, tests included; those that ship are mostly a few lines."""
    assert {name: length(found) for name, found in functions(modules()) if length(found) > FUNCTION_MAX_LINES} == {}
    assert statistics.median(length(found) for _, found in functions(shipped())) <= FUNCTION_MEDIAN_LINES


def test_functions_take_few_parameters() -> None:
    """Nobody has to count arguments."""
    assert [name for name, found in functions(modules()) if parameters(found) > PARAMETERS_MAX] == []


def test_packages_begin_empty() -> None:
    """An `__init__.py` has a docstring and nothing else."""
    begins = {name: tree for name, tree in shipped().items() if name.endswith("__init__.py")}
    assert begins
    assert [name for name, tree in begins.items() if len(tree.body) > 1 or not ast.get_docstring(tree)] == []


def test_every_test_states_its_law() -> None:
    """The docstring of a test says what must hold."""
    tests = functions({name: tree for name, tree in modules().items() if name.startswith("tests/")})
    assert [name for name, found in tests if found.name.startswith("test_") and not ast.get_docstring(found)] == []


def test_constraints_pin_and_nothing_else() -> None:
    """Each line of the constraints is one library with its version, once, in order: no address, no option."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)] == []
    assert lines == sorted(lines, key=str.upper)
    assert len(constraints()) == len(lines)


def test_constraints_cover_every_requirement() -> None:
    """What the project, its extras and its build ask for is pinned, to a version that they allow."""
    pins = constraints()
    asked = {canonicalize_name(requirement.name): requirement.specifier for requirement in requirements()}
    assert set(asked) - set(pins) == set()
    assert [name for name, allowed in asked.items() if pins[name] not in allowed] == []


def test_what_is_imported_is_asked_for() -> None:
    """No shipped module rests on a library that comes along with another one by chance."""
    names = {name for tree in shipped().values() for name in imported(tree)}
    theirs = names - set(sys.stdlib_module_names) - set(PACKAGES)
    owners = packages_distributions()
    asked = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert {name for name in theirs if not asked & {canonicalize_name(owner) for owner in owners[name]}} == set()


def test_the_readme_names_targets_that_exist() -> None:
    """Whoever types a `make` command of the README gets what it says; demo and test are among them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^\$? ?)make ([a-z]+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= named <= make_targets()


def test_every_target_is_listed() -> None:
    """`make help` lists every target, and none of them is mistaken for a file of its name."""
    makefile = (ROOT / "Makefile").read_text()
    listed = {name for names in re.findall(r"^([a-z ]+):.*## ", makefile, re.MULTILINE) for name in names.split()}
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert listed == make_targets() == set(phony.split())


def test_ci_runs_the_test_command() -> None:
    """CI does what the README tells people to do, and sets up nothing by itself."""
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."', "exec make test"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_data_sets_licence_ships_with_it() -> None:
    """Whoever gets the data set gets its terms, and the licence file says where they stand."""
    terms = "producers/data/ml-latest-small-README.txt"
    assert "redistribute" in (ROOT / terms).read_text(encoding="utf-8")
    assert terms in (ROOT / "LICENSE").read_text()


def test_the_changelog_has_the_version() -> None:
    """The version of the project has its section in the changelog."""
    assert f"## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text()
