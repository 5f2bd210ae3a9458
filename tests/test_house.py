"""The house: floors, rooms, names, docstrings (DESIGN section 3)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import rtevents

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "rtevents"
MODULES = sorted(HOUSE.rglob("*.py"))

FLOORS = [
    {"cli"},
    {"daemon"},
    {"stores", "producers", "sinks", "server", "client"},
    {"core", "config"},
    {"errors"},
]
"""From the top down; a room may enter those below, not those beside it."""

LIBRARIES = {
    "typer": ["cli"],
    "rich": ["cli"],
    # A webhook's receiver is asked beside all else, and its TLS, timeouts and limits are aiohttp's.
    "aiohttp": ["server", "daemon", "client/asyncio.py", "sinks/webhook.py"],
    "apprise": ["sinks/notify.py"],
    "websockets": ["server"],
    "watchfiles": ["producers"],
    "git": ["producers"],
    "yaml": ["config"],
    "platformdirs": ["config"],
    "sqlite3": ["stores"],
    "redis": ["stores"],
    "fastjsonschema": ["daemon"],
    "prometheus_client": ["server/metrics.py"],
    "joserfc": ["server/jwt.py"],
    "uvloop": ["daemon"],
}
"""Where each library may be imported: one room, or one file, each."""

EXCEPTIONS = {
    # The hook is put there and taken out without a daemon.
    ("cli", "producers"),
}

ALLOWED = {
    "README.md",
    "LICENSE",
    "pyproject.toml",
    "rtevents",
    "tests",
    "config",
    "completions",
    "requirements.lock",
}


class Import:
    """An import statement: who imports what, and whether inside a function."""

    def __init__(self, file: Path, module: str, *, is_inner: bool, line: int) -> None:
        self.file = file.relative_to(HOUSE)
        self.module = module
        self.is_inner = is_inner
        self.where = f"{self.file}:{line} imports {module}"

    @property
    def room(self) -> str:
        """The room of who imports."""
        return self.file.parts[0].removesuffix(".py")

    @property
    def target(self) -> str | None:
        """The room that is imported; None for what is not ours."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "rtevents" and len(parts) > 1 else None


@cache
def parsed(file: Path) -> ast.Module:
    """Return what a module consists of."""
    return ast.parse(file.read_text())


@cache
def imports() -> tuple[Import, ...]:
    """Return every import of the house, those for type checkers left out."""
    return tuple(_imports())


def _imports() -> Iterator[Import]:
    for file in MODULES:
        tree = parsed(file)
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        inner = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for part in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in typing_only:
                continue
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(file, alias.name, is_inner=id(node) in inner, line=node.lineno)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    module = f"{node.module}.{alias.name}"
                    yield Import(file, module, is_inner=id(node) in inner, line=node.lineno)


def floor_of(room: str) -> int:
    """Return the number of a room's floor, from the top."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_imports_go_down_only() -> None:
    wrong = [
        each.where
        for each in imports()
        if each.target not in (None, "docs", "__version__", each.room)
        and each.room not in ("__init__", "__main__")
        and floor_of(each.room) >= floor_of(str(each.target))
        and (each.room, each.target) not in EXCEPTIONS
        # A name of core that the package exports, such as `from rtevents import Event`.
        and each.target not in rtevents.__all__
    ]

    assert wrong == []


def test_each_library_is_in_its_room() -> None:
    wrong = [
        each.where
        for each in imports()
        if (rooms := LIBRARIES.get(each.module.split(".")[0])) is not None
        and not any(str(each.file).startswith(room) for room in rooms)
    ]

    assert wrong == []


def test_core_needs_the_standard_library_and_msgspec_alone() -> None:
    allowed = {*sys.stdlib_module_names, "msgspec", "rtevents"}
    wrong = [
        each.where
        for each in imports()
        if each.room in ("core", "errors") and each.module.split(".")[0] not in allowed
    ]

    assert wrong == []


def test_the_daemon_is_imported_by_serve_alone_and_inside_the_command() -> None:
    found = [
        (str(each.file), each.is_inner)
        for each in imports()
        if each.target == "daemon" and each.room != "daemon"
    ]

    assert set(found) == {("cli/serve.py", True)}


def test_yaml_is_imported_when_it_is_read() -> None:
    assert all(each.is_inner for each in imports() if each.module.split(".")[0] == "yaml")


def test_the_top_level_is_tidy() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    top = {path.split("/")[0] for path in tracked} or {path.name for path in ROOT.iterdir()}

    assert {name for name in top if not name.startswith(".")} <= ALLOWED | {"dist", "build"}


@pytest.mark.parametrize("name", ["utils", "common", "base", "manager", "helpers_", "misc"])
def test_no_file_is_named_for_nothing(name: str) -> None:
    assert [file for file in MODULES if file.stem == name] == []


def test_no_room_has_grown_past_one_sitting() -> None:
    long = {
        str(file.relative_to(HOUSE)): count
        for file in MODULES
        if (count := len(file.read_text().splitlines())) > 500
    }

    assert long == {}


def test_everything_public_says_what_it_is() -> None:
    silent = []
    for file in MODULES:
        tree = parsed(file)
        inner = {
            id(node)
            for outer in ast.walk(tree)
            if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(outer)
            if node is not outer
        }
        if file.read_text().strip() and not ast.get_docstring(tree):
            silent.append(str(file.relative_to(HOUSE)))
        for node in ast.walk(tree):
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if not isinstance(node, kinds) or node.name.startswith("_"):
                continue
            is_overload = any(
                ast.unparse(each).endswith("overload")
                for each in getattr(node, "decorator_list", [])
            )
            if id(node) not in inner and not is_overload and not ast.get_docstring(node):
                silent.append(f"{file.relative_to(HOUSE)}:{node.lineno} {node.name}")

    assert silent == []


def test_nothing_is_left_unfinished() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")
    found = [
        f"{file.relative_to(HOUSE)}: {word}"
        for file in MODULES
        for word in words
        # The name of the file in which people list what is to be done is no such word.
        if word in file.read_text().replace("TO" + "DO.md", "")
    ]

    assert found == []


@pytest.mark.parametrize(
    "module", ["rtevents", "rtevents.client.sync", "rtevents.config.paths", "rtevents.core.event"]
)
def test_what_every_command_imports_is_light(module: str) -> None:
    heavy = {"aiohttp", "websockets", "git", "watchfiles", "yaml", "rich", "typer"}
    heavy |= {"sqlite3", "asyncio"}
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert heavy & set(loaded) == set()


def test_the_exported_names_are_those_of_the_core() -> None:
    for name in rtevents.__all__:
        assert getattr(rtevents, name).__module__.startswith("rtevents.core")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rtevents.nothing


def test_versions_agree() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "rtevents", "--version"], capture_output=True, text=True, check=True
    ).stdout

    assert said == f"rtevents {rtevents.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
)
def test_the_checkers_are_content(command: list[str]) -> None:
    pytest.importorskip(command[0], reason="install the extra `test`")
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
