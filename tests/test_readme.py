"""The README and the shipped pages do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtevents.core.payloads import PAYLOADS
from rtevents.core.reference import FieldReference, reference, schema_fields, summary
from rtevents.docs import TOPICS
from rtevents.producers import DECLARED
from rtevents.server.app import ROUTES

from .conftest import Daemon

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = ROOT / "rtevents" / "docs"


def block(info: str, text: str = README) -> str:
    """Return the fenced block with this info string."""
    return re.search(rf"^```{info}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]  # type: ignore[index]


@pytest.fixture
def shell(daemon: Daemon) -> Daemon:
    """Return a daemon in whose home `.venv/bin` holds the program."""
    (daemon.home / ".venv").mkdir()
    (daemon.home / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return daemon


def run(daemon: Daemon, command: list[str], text: str) -> str:
    """Run a text with a program; return what it printed."""
    done = subprocess.run(
        command, input=text, env=daemon.env, cwd=daemon.home, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_two_commands_are_on_the_first_screen_and_ci_runs_the_second() -> None:
    first_screen = "\n".join(README.splitlines()[:24])

    assert "pip install . && .venv/bin/rtevents serve" in first_screen
    assert "pip install -e '.[test]' && .venv/bin/pytest" in first_screen
    assert "pip install -e '.\\[test\\]'" in (ROOT / ".ci" / "run").read_text()


SHELLS = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config"]}
"""Shells, and what makes each as it is at a prompt: there `#` begins no comment in zsh."""


def shell_command(name: str) -> list[str]:
    """Return the command of a shell."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    return [name, *SHELLS[name]]


@pytest.mark.parametrize("name", SHELLS)
def test_the_session_runs_as_it_is_pasted(shell: Daemon, name: str) -> None:
    said = run(shell, shell_command(name), block("sh session"))

    assert "Say hello" in said
    assert '"message":"disk nearly full"' in said
    assert "stored" in said


def test_the_guide_runs_as_it_is_pasted(shell: Daemon) -> None:
    """Every example, one after the other, in one shell."""
    blocks = re.findall(r"^```sh guide\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    path = 'export PATH="$PWD/.venv/bin:$PATH"\n'

    said = run(shell, ["bash", "-eu"], path + "\n".join(blocks))

    assert said.count("disk nearly full") == 3  # found, traced, replayed


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_shell_examples_run_as_they_are_pasted(shell: Daemon) -> None:
    path = '\nexport PATH="$PWD/.venv/bin:$PATH"\n'
    said = run(shell, ["bash", "-eu"], path + block("sh integration"))

    assert '"duplicate":false' in said
    assert "event: hello" in said
    assert "id: " in said


@pytest.mark.parametrize("name", ["daemon", "embedded"])
def test_the_python_examples_run_as_they_are_pasted(daemon: Daemon, name: str) -> None:
    said = run(daemon, [sys.executable, "-"], block(f"python {name}"))

    assert "T-12" in said


def test_the_python_of_the_guide_runs_as_it_is_pasted(daemon: Daemon) -> None:
    guide = (PAGES / "integration.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)

    assert len(blocks) == 2
    for text in blocks:
        assert "T-12" in run(daemon, [sys.executable, "-"], text)


COMMAND = r"\s*(?:export|printf|sh|seq|mkdir|cd|rtevents|pip|python|curl|git)\w* "
"""Begins what is a block of commands."""


def commands() -> Iterator[tuple[str, str]]:
    """Yield every command that is shown, and where: in the README, the pages and the help."""
    pages = [ROOT / "README.md", *PAGES.glob("*.md")]
    for file in [*pages, *sorted((ROOT / "rtevents" / "cli").rglob("*.py"))]:
        # Of a page what is between its fences.
        parts = re.split("^```.*$", file.read_text(), flags=re.MULTILINE)
        shown = "\n".join(parts[1::2] if file in pages else parts)
        for line in shown.splitlines():
            if found := re.match(r"\s*(?:\$ )?((?:rtevents|pip|curl|redis-cli|git) .*)", line):
                yield file.name, found[1]


def shell_blocks() -> Iterator[tuple[str, str]]:
    """Yield every block of commands, and where: in the README and the pages."""
    for file in (ROOT / "README.md", *PAGES.glob("*.md")):
        blocks = re.findall(r"^```([^\n]*)\n(.*?)^```", file.read_text(), re.M | re.S)
        for info, text in blocks:
            if info.startswith("sh") or (not info and re.match(COMMAND, text)):
                yield file.name, text


@pytest.mark.parametrize("name", SHELLS)
def test_every_shell_reads_every_block(name: str) -> None:
    program, *_ = shell_command(name)
    blocks = list(shell_blocks())
    assert len(blocks) > 30

    for page, text in blocks:
        done = subprocess.run(
            [program, "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{page}: {text}"


def test_nothing_is_said_behind_a_command() -> None:
    """To zsh at its prompt, `# …` is more arguments; to every shell, plain words are."""
    said = re.compile(r"#|\S\s{2,}\S")
    for page, text in shell_blocks():
        for line in text.splitlines():
            bare = re.sub(r"""'[^']*'|"[^"]*"|\\.|'[^']*$""", "x", line)
            assert not said.search(bare), f"{page}: {line}"


def test_what_a_shell_would_expand_is_quoted() -> None:
    """Some shells refuse what looks like a pattern and matches no file: zsh a URL with a `?`."""
    shown = list(commands())
    assert {"README.md", "redis.md", "migrate.py", "tail.py"} <= {name for name, _ in shown}

    for name, command in shown:
        bare = re.sub(r"""'[^']*'|"[^"]*"|\\.|\$\?|\s#.*|'[^']*$""", "", command)
        assert not re.search(r"[?*\[\]]|[^\s&>]&(?!&)", bare), f"{name}: {command}"


def test_every_page_is_there_and_listed() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(TOPICS)


def fields_of(name: str) -> list[FieldReference]:
    """Return the fields of a built-in type, or of one that a producer declares."""
    return reference(name) if name in PAYLOADS else schema_fields(DECLARED[name])


@pytest.mark.parametrize("name", [*PAYLOADS, *DECLARED])
def test_the_reference_page_says_what_the_structs_say(name: str) -> None:
    page = (PAGES / "events.md").read_text()
    section = page.split(f"### {name}\n")[1].split("\n### ")[0]
    rows = [
        f"| `{field.name}` | {field.type} | {'yes' if field.required else ''} | {field.meaning} |"
        for field in fields_of(name)
    ]

    assert (summary(name) if name in PAYLOADS else DECLARED[name]["description"]) in section
    assert [line for line in section.splitlines() if line.startswith("| `")] == rows


@pytest.mark.parametrize("name", [*PAYLOADS, *DECLARED])
def test_the_readme_names_every_field_of_every_type(name: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| {name} |"))
    required = [field.name for field in fields_of(name) if field.required]
    optional = [field.name for field in fields_of(name) if not field.required]

    assert f"`{' '.join(required)}`" in row
    if optional:
        assert f"*{' '.join(optional)}*" in row or set(optional) <= set(row.split())


def test_the_pages_name_routes_that_are_there() -> None:
    known = {re.sub(r"\{\w+\}", "ID", route.path) for route in ROUTES}
    for page in (*PAGES.glob("*.md"), ROOT / "README.md"):
        named = set(re.findall(r"/v1/[a-z/]+[a-z]", page.read_text()))
        assert named <= known, page.name
