"""The completions that are shipped: current, and bash really completes with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtevents.cli import run

FOLDER = Path(__file__).parent.parent / "completions"
FILES = {"bash": "rtevents.bash", "zsh": "_rtevents", "fish": "rtevents.fish"}


@pytest.mark.parametrize("shell", FILES)
def test_the_shipped_file_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert run(["completion", shell]) == 0

    assert (FOLDER / FILES[shell]).read_text() == capsys.readouterr().out


def completed(tmp_path: Path, line: str) -> list[str]:
    """Return what bash offers at the end of `line`."""
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash here")
    program = tmp_path / "rtevents"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rtevents "$@"\n')
    program.chmod(0o755)
    script = f"""
        source "{FOLDER / "rtevents.bash"}"
        COMP_WORDS=({line}{" ''" if line.endswith(" ") else ""})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _rtevents_completion rtevents
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rtevents ta", ["tail"]),
        ("rtevents tail --fail", ["--fail-on-gap"]),
        ("rtevents tail --no", ["--not-type", "--no-reconnect"]),
        ("rtevents publish auto-commit re", ["result"]),
        ("rtevents publish risk x --severity h", ["high"]),
        ("rtevents completion z", ["zsh"]),
    ],
)
def test_bash_completes_commands_options_and_values(
    tmp_path: Path, line: str, offered: list[str]
) -> None:
    assert completed(tmp_path, line) == offered


def test_bash_offers_every_command(tmp_path: Path) -> None:
    assert {"serve", "tail", "publish", "docs"} <= set(completed(tmp_path, "rtevents "))
