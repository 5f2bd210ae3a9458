"""What the tests of the hook share: hooks, and a repository that a daemon watches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rtevents.producers import hook
from rtevents.producers.spool import Spool

SHELL = "#!/bin/sh\necho sh >> ran\n"
STRICT = "#!/usr/bin/env bash\nset -euo pipefail\necho bash >> ran\nfalse\necho never >> ran\n"
PYTHON = (
    f"#!{sys.executable}\nimport pathlib, sys\n"
    "pathlib.Path('ran').write_text(f'{sys.argv[0]} {sys.argv[1:]}')\nsys.exit(7)\n"
)


def file_of(repository: Path) -> Path:
    """Return where git looks for the hook."""
    return repository / ".git" / "hooks" / "post-commit"


def install(repository: Path, *, force: bool = False) -> hook.HookStatus:
    """Install the hook as a file, also where git runs hooks of the configuration."""
    return hook.install(repository, way="file", force=force)


def put(file: Path, text: str, mode: int = 0o755) -> None:
    """Write a hook."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(errors="surrogateescape"))
    file.chmod(mode)


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every entry of a folder with its mode and its bytes, or where it points to."""
    return {
        path.name: (
            path.lstat().st_mode,
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.iterdir()
    }


def listing_of(file: Path) -> tuple[int, bytes]:
    """Return a file's mode and its bytes."""
    return file.stat().st_mode, file.read_bytes()


def spool(repository: Path) -> list[str]:
    """Return what the hook noted."""
    file = repository / ".git" / "rtevents" / "spool"
    return file.read_text().split() if file.exists() else []


@pytest.fixture(autouse=True)
def _no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no daemon of this machine be told of these commits."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def repository(repository: Path) -> Path:
    """Return a repository with one commit, that a daemon watches."""
    Spool(repository / ".git").mark()
    return repository
