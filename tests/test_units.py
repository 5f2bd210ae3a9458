"""The files that start the daemon with a session, as systemd and launchd read them."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CONFIG = Path(__file__).parent.parent / "config"

MOST_EXPOSED = 5.0


def analyze(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze for a user, with copies of the units."""
    if not (command := shutil.which("systemd-analyze")):
        pytest.skip("systemd is not installed")
    for unit in ("rtevents.service", "rtevents.socket"):
        shutil.copy(CONFIG / unit, home)
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [command, "--user", *arguments],
        cwd=home, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_systemd_has_nothing_to_say_about_the_units(home: Path) -> None:
    done = analyze(home, "verify", "./rtevents.service", "./rtevents.socket")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_little_exposed(home: Path) -> None:
    done = analyze(home, "security", "--offline=true", "./rtevents.service")

    assert done.returncode == 0, done.stderr
    level = re.search(r"Overall exposure level for rtevents.service: ([\d.]+)", done.stdout)
    assert level
    assert float(level[1]) <= MOST_EXPOSED


def test_launchd_starts_the_same() -> None:
    with (CONFIG / "com.rtevents.plist").open("rb") as file:
        agent = plistlib.load(file)

    assert agent["ProgramArguments"][-4:] == ["rtevents", "serve", "--quiet", "--no-project"]
    assert agent["RunAtLoad"] is True
