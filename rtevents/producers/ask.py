"""What git says, asked as its user would, save that no variable names another repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rtevents.errors import BadInput

KEPT = (
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES",
    "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
)  # fmt: skip
"""Of git's variables, those that name no repository."""


def environment() -> dict[str, str]:
    """Return the variables that git is given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith("GIT_")
    }
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def ask(repository: Path, *arguments: str) -> str:
    """
    Return what git prints.

    Raises:
        BadInput: It is no repository, or git fails.
    """
    try:
        done = subprocess.run(
            # Who reads the index runs the program that the repository names there (S15).
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=repository,
            env=environment(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BadInput(f"git cannot be run in {repository}: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        is_none = said.startswith("fatal: not a git repository")
        raise BadInput(f"{repository}: {'not in a git repository' if is_none else said}")
    return os.fsdecode(done.stdout.rstrip(b"\n"))
