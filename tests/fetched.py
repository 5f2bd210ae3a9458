"""What tests fetch from a registry, where there is one: the test is skipped where there is none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

PATIENCE = 120.0
"""Seconds after which a registry that does not answer is none."""


def fetch(command: Sequence[str | Path], folder: Path) -> None:
    """Run what fetches something into a folder; skip the test where it cannot."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]} has no network")
    if done.returncode:
        pytest.skip(f"{command[0]} fetches nothing here: {done.stderr.strip()[-200:]}")


def npm(package: str, folder: Path) -> Path:
    """Fetch a package of npm, without running what it would; return the folder of all packages."""
    options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    fetch(["npm", "install", *options, package], folder)
    return folder / "node_modules"
