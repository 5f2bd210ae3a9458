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


def run_in(shell: str, tmp_path: Path, script: str) -> str:
    """Return what a script prints in a shell for which `rtevents` is a command."""
    if not (found := shutil.which(shell)):
        pytest.skip(f"no {shell} here")
    program = tmp_path / "rtevents"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rtevents "$@"\n')
    program.chmod(0o755)
    quiet = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
    done = subprocess.run(
        [found, quiet, "-c", script],
        env=os.environ
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        | {name: str(tmp_path) for name in ("HOME", "XDG_RUNTIME_DIR")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def completed(tmp_path: Path, line: str) -> list[str]:
    """Return what bash offers at the end of `line`."""
    script = f"""
        source "{FOLDER / "rtevents.bash"}"
        COMP_WORDS=({line}{" ''" if line.endswith(" ") else ""})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _rtevents_completion rtevents
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return run_in("bash", tmp_path, script).split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rtevents docs s", ["sse", "security"]),
        ("rtevents tail -t RISK", ["RISK_ALERT"]),
        ("rtevents publish event T", ["TASK_UPDATE"]),
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


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rtevents ta", ["tail"]),
        ("rtevents tail --fail", ["--fail-on-gap"]),
        ("rtevents tail --type COM", ["COMMIT"]),
    ],
)
def test_fish_completes_with_what_each_means(tmp_path: Path, line: str, offered: list[str]) -> None:
    script = f"source '{FOLDER / 'rtevents.fish'}'; complete -C '{line}'"
    lines = run_in("fish", tmp_path, script).splitlines()

    assert [text.partition("\t")[0] for text in lines] == offered
    assert all(text.partition("\t")[2] for text in lines)


def test_zsh_completes_at_the_first_tab(tmp_path: Path) -> None:
    """zsh loads the file from `fpath` at that <TAB>, and calls the function named like it."""
    script = f"""
        fpath=('{FOLDER}' $fpath)
        autoload -Uz _rtevents
        _arguments() {{ print -r -- "$@" }}
        words=(rtevents ta)
        CURRENT=2
        _rtevents
    """

    assert run_in("zsh", tmp_path, script) == '*: :(("tail":"Follow the stream."))\n'
