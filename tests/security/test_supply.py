"""What others wrote and we ship with: S25."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def test_the_lock_holds_each_library_at_one_version_by_its_hash() -> None:
    """S25: what CI installs is what was looked at, and no bound of ours is left behind."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["jwt"], *extras["test"]]
    # One entry is a line "name==version [; marker]" and the hashes, each on a line of its own.
    text = re.sub(r"\\\n\s+", "", (ROOT / "requirements.lock").read_text())
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    locked: dict[str, str] = {}
    for entry in entries:
        match = re.match(r"([a-z0-9.-]+)==([0-9][^\s;]*)( ; .*?)?( --hash=sha256:\w{64})+$", entry)
        assert match, entry[:80]
        assert match[1] not in locked, entry[:80]
        locked[match[1]] = match[2]
    for requirement in map(Requirement, wanted):
        found = locked.get(canonicalize_name(requirement.name), "none")
        assert requirement.specifier.contains(found), f"{requirement}: {found}"


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
