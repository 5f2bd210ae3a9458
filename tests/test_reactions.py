"""The page about reactions does what it says: its examples run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtevents.config.load import read
from rtevents.config.paths import Paths
from rtevents.config.project_file import read_project_file
from rtevents.core.event import Event
from rtevents.daemon.check import check
from rtevents.sinks.command import variables

from .conftest import PATIENCE, Daemon, wait_for
from .sinks.test_command import batch
from .test_readme import PAGES, block, run

PAGE = (PAGES / "reactions.md").read_text()


@pytest.fixture
def shell(daemon: Daemon) -> Daemon:
    """Return a daemon whose program is on the PATH, as are those of the examples."""
    programs = daemon.home / "bin"
    programs.mkdir()
    program = programs / "rtevents"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rtevents "$@"\n')
    program.chmod(0o755)
    for name in ("make", "mkdocs", "rsync", "pager", "jq"):
        file = programs / name
        file.write_text(f'#!/bin/sh\ncat > /dev/null\necho {name} "$@" >> {daemon.home}/ran\n')
        file.chmod(0o755)
    daemon.env["PATH"] = f"{programs}:{daemon.env['PATH']}"
    return daemon


def test_waiting_runs_as_it_is_pasted(shell: Daemon) -> None:
    assert '"task_id":"T-12"' in run(shell, ["bash", "-eu"], block("sh wait", PAGE))


def test_the_commands_run_as_they_are_pasted(shell: Daemon) -> None:
    started = [
        subprocess.Popen(["bash", "-c", f"exec {line}"], env=shell.env, cwd=shell.home)
        for line in block("sh on", PAGE).splitlines()
    ]
    ran = shell.home / "ran"
    made: tuple[tuple[str, dict[str, object]], ...] = (
        ("RISK_ALERT", {"severity": "low", "message": "x"}),
        ("FILE_CHANGE", {"file_path": "docs/a.md", "change_type": "modified"}),
    )

    def all_ran() -> bool:
        with shell.client() as client:
            for kind, data in made:
                client.publish(Event(type=kind, data=data, project_id="web"))
            commit = {"commit_hash": "a" * 40, "message": "x", "author": "Ada"}
            client.publish(Event(type="COMMIT", data=commit, project_id="web"))
        time.sleep(0.05)
        text = ran.read_text() if ran.exists() else ""
        return {"make test", "mkdocs build", "rsync -a ./ host:mirror/", "pager"} <= set(
            text.splitlines()
        )

    try:
        wait_for(all_ran, "each of them runs")
    finally:
        for process in started:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(PATIENCE) for process in started]
    assert codes == [130] * 4


def test_the_variables_are_those_of_a_command() -> None:
    for name in variables(batch()):
        assert f"`{name}`" in PAGE


def test_the_configuration_of_the_page_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CHAT_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    paths = Paths(tmp_path, tmp_path, tmp_path / "config.yaml")
    paths.config.write_text(block("yaml sinks", PAGE))
    loaded = read(paths, {})

    assert check(loaded) == []
    assert [sink.name for sink in loaded.config.sinks] == ["tests", "chat", "journal"]


def test_the_commands_about_sinks_and_trust_run_as_they_are_pasted(shell: Daemon) -> None:
    (shell.home / "src" / "web").mkdir(parents=True)
    (shell.home / "src" / "web" / ".rtevents.yaml").write_text(block("yaml project", PAGE))
    found = read_project_file(shell.home / "src" / "web")
    assert found is not None
    assert [each.name for each in found.reactions()] == ["docs"]
    folder = shell.home / "config" / "rtevents"
    folder.mkdir()
    shell.env["CHAT_SECRET"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    text = block("yaml sinks", PAGE).replace("secret_env: CHAT_SECRET", "timeout: 1")
    (folder / "config.yaml").write_text(text)
    shell.run("reload")

    said = run(shell, ["bash", "-eu"], block("sh sinks", PAGE))
    assert "tests  command  running" in said
    assert "replaying 0" in said
    said = run(shell, ["bash", "-eu"], block("sh trust", PAGE))
    assert "docs: path=docs/** -> make docs" in said
    assert "not trusted any more" in said
