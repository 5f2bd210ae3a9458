"""What others wrote and we ship with: S25."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Daemon

ROOT = Path(__file__).parent.parent.parent

FIXED = {
    "aiohttp": (3, 14, 2),  # GHSA-mfx4-hv73-q22v: a WebSocket upgrade smuggles a request
    "pyyaml": (5, 4),  # CVE-2020-14343: a document runs code
    "gitpython": (3, 1, 41),  # CVE-2024-22190: git is looked for in the repository
    "joserfc": (1, 6),  # CVE-2025-65015: an error holds the whole token
}
"""The first version without a hole that is known, of what has had one that would reach us."""


@pytest.mark.parametrize("name", FIXED)
def test_no_version_with_a_known_hole_may_be_installed(name: str) -> None:
    """S25: the lower bound is at the fixed version, or beyond it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["jwt"]]
    (bound,) = [line for line in wanted if re.match(rf"{name}\b", line)]
    least = re.search(r">=([\d.]+)", bound)
    assert least
    assert tuple(map(int, least[1].split("."))) >= FIXED[name]


def test_doctor_tells_of_a_library_that_was_replaced_by_an_older_one(
    stopped_daemon: Daemon, tmp_path: Path
) -> None:
    """S25: an environment that somebody else changed."""
    daemon = stopped_daemon

    def told() -> tuple[str, str]:
        checks = json.loads(daemon.run("doctor", "--json").stdout)
        (check,) = [check for check in checks if check["name"] == "libraries"]
        return check["verdict"], check["text"]

    assert told()[0] == "ok"
    older = tmp_path / "aiohttp-3.9.0.dist-info"
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: aiohttp\nVersion: 3.9.0\n")
    daemon.env["PYTHONPATH"] = f"{tmp_path}:{daemon.env.get('PYTHONPATH', '')}"

    verdict, text = told()
    assert verdict == "warning"
    assert re.search(r"aiohttp 3.9.0, asked for [\d.]+", text)
