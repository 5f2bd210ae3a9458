"""A command is quick because it imports what it uses: what that must never be."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.conftest import Daemon

HEAVY = {"aiohttp", "git", "watchfiles", "asyncio", "yaml", "rich", "sqlite3", "pathspec"}

CODE = """
import sys
import time
from rtevents.cli import run
code = run(sys.argv[1:])
print(code, *(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


def loaded(daemon: Daemon, *words: str) -> tuple[str, set[str]]:
    """Return the exit code of a command, and the modules that it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        env=daemon.env,
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = done.stderr.splitlines()[-1].split()
    return code, set(modules)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["tail", "--help"], "0"),
        (["--help"], "0"),
        (["publish"], "2"),
        (["publish", "--help"], "0"),
        (["publish", "risk", "disk full", "--severity", "high"], "3"),
        (["tail", "-T"], "3"),
        (["history"], "3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_without_a_daemon_imports_nothing_heavy(
    stopped_daemon: Daemon, words: list[str], code: str
) -> None:
    ended, modules = loaded(stopped_daemon, *words)

    assert ended == code
    assert HEAVY & modules == set()


@pytest.mark.parametrize(
    "words", [["publish", "risk", "full"], ["tail", "-n", "5", "-T"]], ids=" ".join
)
def test_a_command_that_works_imports_nothing_heavy(daemon: Daemon, words: list[str]) -> None:
    code, modules = loaded(daemon, *words)

    assert code == "0"
    assert HEAVY & modules == set()


def test_the_root_imports_no_command(stopped_daemon: Daemon) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, rtevents.cli; print(*sys.modules)"],
        env=stopped_daemon.env,
        capture_output=True,
        text=True,
        check=True,
    )

    assert [name for name in done.stdout.split() if name.startswith("rtevents.cli.")] == []


HELLO = """
import typer

app = typer.Typer()


@app.command()
def hello(name: str = "you") -> None:
    print("hello", name)


app()
"""

SLOWER = 1.3
"""How many times as long as the hello-world a command may take, that is not asked for its help."""

ROUNDS = 60
"""Runs of each program at most, one after the other; the quickest of each counts."""


def _spent_by_children() -> float:
    """Return the seconds of a processor that programs which have ended took."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.parametrize(
    "words", [["tail", "--help"], ["publish", "--help"], ["publish", "risk", "full"]], ids=" ".join
)
def test_a_command_starts_as_quickly_as_a_typer_hello_world_or_nearly(
    stopped_daemon: Daemon, words: list[str]
) -> None:
    hello = [sys.executable, "-c", HELLO]
    command = [sys.executable, "-m", "rtevents", *words]
    # Installed programs are compiled.
    env = {k: v for k, v in stopped_daemon.env.items() if k != "PYTHONDONTWRITEBYTECODE"}
    took = {"hello": 60.0, "command": 60.0}
    for rounds in range(ROUNDS):
        for name, arguments in (("hello", hello), ("command", command)):
            # Of the processor: how long it waits for one is not its doing.
            start = _spent_by_children()
            subprocess.run(arguments, env=env, capture_output=True, check=False)
            took[name] = min(took[name], _spent_by_children() - start)
        # On a busy machine few runs are not enough; a command that is slower stays so.
        if rounds >= 4 and took["command"] <= SLOWER * took["hello"]:
            break

    assert took["command"] <= SLOWER * took["hello"], took
