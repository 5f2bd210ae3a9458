"""What is offered at <TAB>, with a daemon and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtevents.cli import suggest
from rtevents.core.payloads import PAYLOADS
from tests.conftest import Daemon


@pytest.fixture
def asked(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """Return a daemon that is the user's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", daemon.env["XDG_RUNTIME_DIR"])
    monkeypatch.delenv("RTEVENTS_URL", raising=False)
    return daemon


def test_the_types_are_the_daemons_own(asked: Daemon) -> None:
    with asked.client() as client:
        client.add_type("DEPLOY")

    assert [name for name, _ in suggest.types("DE")] == ["DEPLOY"]


def test_the_types_without_a_daemon_are_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    assert [name for name, _ in suggest.types("")] == list(PAYLOADS)
    assert suggest.projects("") == []


def test_what_the_daemon_knows_is_offered_by_its_id(asked: Daemon) -> None:
    with asked.client() as client:
        client.add_project(asked.repository("web"))
        token = client.create_token("viewer", name="phone")["id"]
        stream = client.stream(since="all", control=True)
        next(stream)
        connections = [each["connection_id"] for each in client.connections()]

        assert [name for name, _ in suggest.projects("w")] == ["web"]
        assert suggest.projects("x") == []
        assert connections
        assert suggest.tokens("") == [(token, "viewer phone")]
        assert [name for name, _ in suggest.connections("")] == connections


def test_a_folders_name_cannot_run_in_the_shell(asked: Daemon) -> None:
    folder = asked.home / "a\\$(touch evil)`touch evil`';touch evil;'\"\x1b[2J"
    folder.mkdir()
    with asked.client() as client:
        client.add_project(folder, id="web")
        client.add_project(asked.repository("$(touch evil)"))

    ((name, about),) = suggest.projects("")

    assert name == "web"
    assert re.fullmatch(r"[\w .,:/~+@?\u2019-]+", about)
