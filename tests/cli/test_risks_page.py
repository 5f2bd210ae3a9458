"""The page on risks does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import rtevents
from rtevents.cli.risks import _show
from rtevents.config.project_file import read_project_file
from rtevents.config.risks import RiskSettings
from rtevents.producers.risk.rules import ABOUT, build
from tests.conftest import Daemon, wait_for

PAGE = (Path(rtevents.__file__).parent / "docs" / "risks.md").read_text()


def blocks(info: str) -> list[str]:
    """Return the fenced blocks with this info string."""
    return re.findall(rf"^```{info}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_its_examples_run_as_they_are_pasted(daemon: Daemon) -> None:
    (daemon.home / "bin").mkdir()
    program = daemon.home / "bin" / "rtevents"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rtevents "$@"\n')
    program.chmod(0o755)
    (python,) = blocks("python")
    text = (
        "".join(blocks("sh risks") + blocks("sh trace") + blocks("sh close"))
        + f"'{sys.executable}' - <<E\n{python}E\n"
    )
    text = f'export PATH="$PWD/bin:$PATH"\n{text}rtevents trace build-1 -o pretty\n'
    done = subprocess.run(
        ["bash", "-eu"], input=text,
        env=daemon.env, cwd=daemon.home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        '"severity": "high", "state": "open", "rule": null, "message": "disk nearly full"'
        in done.stdout
    )
    assert "[]" in done.stdout.splitlines()  # nothing is open after it was closed
    assert '"state": "closed", "rule": null, "message": "the build is slow"' in done.stdout
    assert "TASK_UPDATE  deploy cancelled" in done.stdout
    assert '"depth": 1, "parent": ' in done.stdout
    assert "TASK_UPDATE  notify done" in done.stdout


def test_every_rule_and_threshold_is_on_the_page() -> None:
    given: dict[str, Any] = msgspec.to_builtins(RiskSettings())
    for rule in ABOUT:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{rule}` "))
        assert f"({given[rule]})" in row
        for name, value in given.items():
            if name.startswith(f"{rule}_") and isinstance(value, int | float):
                assert f"`{name}` {value:g}".replace("5.24288e+07", "52428800") in row
    assert f"`close_after` is {given['close_after']:g} s" in PAGE


@pytest.mark.parametrize("text", blocks("yaml"))
def test_its_rules_can_be_used(tmp_path: Path, text: str) -> None:
    (tmp_path / ".rtevents.yaml").write_text(text)
    settings = msgspec.convert(yaml.safe_load(text)["risks"], RiskSettings)

    assert build(settings)
    if "rules" in text:
        file = read_project_file(tmp_path)
        assert file is not None
        assert file.risks().rules == settings.rules


def test_thousands_of_newer_words_hide_no_grave_risk(daemon: Daemon) -> None:
    def alert(number: int) -> bytes:
        data = {"severity": "low", "message": "x", "fingerprint": f"f{number % 7}"}
        return msgspec.json.encode({"type": "RISK_ALERT", "data": data})

    daemon.run("publish", "risk", "disk full", "--severity", "critical", "--fingerprint", "disk")
    daemon.run("publish", "--stdin", stdin=b"\n".join(map(alert, range(5100))))
    done = daemon.run("risks", "-o", "json")
    found = msgspec.json.decode(done.stdout)

    assert [each["message"] for each in found] == ["disk full"] + ["x"] * 7
    assert "there may be more" in done.stderr


def test_what_was_imported_is_not_open_here_and_hides_nothing_that_is(daemon: Daemon) -> None:
    """A recording of before, perhaps of another machine: it comes later, and tells what is over."""

    def alert(name: str, state: str) -> bytes:
        data = {"severity": "high", "message": name, "fingerprint": name, "state": state}
        return msgspec.json.encode({"type": "RISK_ALERT", "data": data, "timestamp": 1.0})

    def shown(*options: str) -> list[tuple[str, str, bool]]:
        found = msgspec.json.decode(daemon.run("risks", "-o", "json", *options).stdout)
        return sorted((each["message"], each["state"], each["imported"]) for each in found)

    recording = daemon.home / "before.ndjson"
    lines = [alert("here", "closed"), alert("there", "open"), alert("gone", "closed")]
    recording.write_bytes(b"\n".join(lines))
    daemon.run("publish", "risk", "here", "--severity", "high", "--fingerprint", "here")
    daemon.run("import", str(recording))

    assert shown() == [("here", "open", False)]
    said = daemon.run("risks", "-o", "pretty")
    assert "there" not in said.stdout
    assert said.stderr == "rtevents: 1 imported: --all shows what rtevents import took in as well\n"
    assert shown("--all") == [
        ("gone", "closed", True), ("here", "open", False), ("there", "open", True),
    ]  # fmt: skip
    assert "there (imported)" in daemon.run("risks", "--all", "-o", "pretty").stdout
    daemon.run("risks", "close", "there")
    assert shown("--all")[-1] == ("there", "closed", False)


def test_a_line_that_has_no_room_goes_on_below_at_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "commit 0123456789 adds what looks like a secret to src/settings/production.py"
    risk = {
        "severity": "critical", "state": "open", "rule": "secret", "message": message, "since": 0.0,
        "project_id": "web", "fingerprint": "secret:0123456789abcdef", "imported": False,
    }  # fmt: skip

    _show([risk], None)
    [whole] = capsys.readouterr().out.splitlines()
    _show([risk], 60)
    first, *below = capsys.readouterr().out.splitlines()
    assert whole.split() == [*first.split()[:-1], *message.split(), first.split()[-1]]
    assert all(len(line) <= 60 and line.startswith("    ") for line in below)
    assert " ".join(line.strip() for line in below) == message


def test_a_person_closes_a_risk_by_what_the_list_shows(stopped_daemon: Daemon) -> None:
    """By hand, for good or until it is found again: the rule finds it again."""
    daemon = stopped_daemon
    root = daemon.repository()
    daemon.start(str(root))

    def commit(text: str) -> None:
        (root / "LICENSE").write_text(text)
        daemon.git("add", "-A", cwd=root)
        daemon.git("commit", "-qm", text, cwd=root)

    def opened() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(daemon.run("risks").stdout)
        return found

    commit("Mine")
    wait_for(opened, "a risk")
    [risk] = opened()
    assert re.fullmatch("protected:[0-9a-f]{16}", risk["fingerprint"])
    shown = daemon.run("risks", "-o", "pretty").stdout
    short = risk["fingerprint"][: len("protected:") + 7]
    assert shown.rstrip().endswith(f"  {short}")

    done = daemon.run("risks", "close", short, "--reason", "I asked\x1b[31m")
    assert done.returncode == 0, done.stderr
    assert opened() == []
    alerts = daemon.run("tail", "-t", "RISK_ALERT", "--since", "all", "-T").stdout
    last = json.loads(alerts.splitlines()[-1])
    assert last["data"]["state"] == "closed"
    assert last["data"]["reason"] == "I asked\x1b[31m"
    assert last["data"]["fingerprint"] == risk["fingerprint"]
    assert last["extensions"]["causation_id"] == risk["event_id"]
    assert daemon.run("risks", "close", short).returncode == 1

    commit("Yours")
    wait_for(opened, "it is found again, and open")
    assert opened()[0]["fingerprint"] == risk["fingerprint"]

    for project in ("web", "other"):
        daemon.run("publish", "risk", "x", "--fingerprint", "disk\x1b[31m", "--project", project)
    daemon.run("publish", "risk", "without")
    several = daemon.run("risks", "close", "disk")
    assert (several.returncode, "is of 2 risks" in several.stderr) == (2, True)
    assert "\x1b" not in several.stderr + daemon.run("risks", "-o", "pretty").stdout
    assert daemon.run("risks", "close", "disk", "--project", "other").returncode == 0
    (without,) = [each for each in opened() if each["message"] == "without"]
    assert daemon.run("risks", "close", without["event_id"]).returncode == 0
    assert {each["fingerprint"] for each in opened()} == {risk["fingerprint"], "disk\x1b[31m"}
    assert daemon.run("risks", "close", "nonesuch").returncode == 1
