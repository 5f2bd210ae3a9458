"""Recordings: what is exported is imported and replayed as it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtevents.cli.record.intake import _chunks
from rtevents.cli.record.recording import last, read
from rtevents.core.event import Entry, Event
from rtevents.errors import BadInput
from tests.cli.test_on import Process
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.test_readme import PAGES, block

COUNT = 2300


def risk(number: int, **fields: Any) -> Event:
    severity = ("low", "high")[number % 2]
    data = {"severity": severity, "message": f"m{number}\x85 ü🎉"}
    return Event(**{"type": "RISK_ALERT", "data": data, "event_id": f"r-{number}", **fields})


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Daemon]:
    """Return a second daemon."""
    import tempfile

    home = Path(tempfile.mkdtemp(prefix="rth"))
    daemon = Daemon(home)
    daemon.start()
    yield daemon
    daemon.stop(signal.SIGKILL)


def fill(daemon: Daemon, count: int = COUNT) -> None:
    with daemon.client() as client:
        for first in range(0, count, 500):
            client.publish_many([risk(number) for number in range(first, min(count, first + 500))])


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def kept(daemon: Daemon) -> list[dict[str, Any]]:
    done = daemon.run("export", "-")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("form", ["ndjson", "cloudevents"])
def test_what_is_exported_is_imported_as_it_was(daemon: Daemon, other: Daemon, form: str) -> None:
    fill(daemon)
    with daemon.client() as client:
        client.publish(risk(COUNT, project_id="web", source="ci", extensions={"causation_id": "b"}))
    file = daemon.home / "all.ndjson"

    done = daemon.run("export", str(file), "--format", form)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"rtevents: {COUNT + 1} events written to {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    done = other.run("import", str(file))
    assert done.stderr == f"rtevents: {COUNT + 1} stored, 0 there before, 0 refused\n"
    there = kept(other)
    for each in there:
        assert each["extensions"].pop("imported") == "true"
        if not each["extensions"]:
            del each["extensions"]
    assert there == kept(daemon)
    # Begun anew, it stores nothing twice; nor where it comes from.
    for one in (other, daemon):
        done = one.run("import", "-", stdin=file.read_bytes())
        assert done.stderr == f"rtevents: 0 stored, {COUNT + 1} there before, 0 refused\n"
    with daemon.client() as client, other.client() as imported:
        assert client.status()["newest"] == imported.status()["newest"]


def test_an_export_goes_on_behind_what_it_has(daemon: Daemon) -> None:
    fill(daemon, 30)
    file = daemon.home / "part.ndjson"
    assert daemon.run("export", str(file), "--until", "1h").returncode in (0, 2)
    file.unlink(missing_ok=True)
    assert daemon.run("export", str(file)).returncode == 0
    whole = file.read_bytes()
    refused = daemon.run("export", str(file))
    assert refused.returncode == 2
    assert "--resume goes on, --force overwrites" in refused.stderr

    # Interrupted in the midst of a line.
    file.write_bytes(whole[: len(whole) // 2])
    fill(daemon, 40)
    assert daemon.run("export", str(file), "--resume").returncode == 0
    assert [each["seq"] for each in lines(file)] == list(range(1, 41))
    assert file.read_bytes().startswith(whole)
    assert daemon.run("export", str(file), "--resume").returncode == 0
    assert len(lines(file)) == 40
    file.write_bytes(whole[:10])
    assert daemon.run("export", str(file), "--resume").returncode == 0
    assert len(lines(file)) == 40
    assert daemon.run("export", str(file), "--force", "-w", "seq == 3").returncode == 0
    assert [each["seq"] for each in lines(file)] == [3]


def test_an_export_goes_on_in_the_form_that_is_there(daemon: Daemon) -> None:
    fill(daemon, 3)
    file = daemon.home / "cloud.ndjson"
    assert daemon.run("export", str(file), "--format", "cloudevents").returncode == 0
    whole = file.read_bytes()
    fill(daemon, 5)

    refused = daemon.run("export", str(file), "--resume", "--format", "ndjson")
    assert refused.returncode == 2
    assert f"{file} has cloudevents: go on without --format ndjson" in refused.stderr
    assert file.read_bytes() == whole
    assert daemon.run("export", str(file), "--resume").returncode == 0
    assert [each["id"] for each in lines(file)] == [f"r-{number}" for number in range(5)]
    # Not one line of it is whole; of an empty one it is to be said.
    for left, form in ((whole[:40], []), (b"", ["--format", "cloudevents"])):
        file.write_bytes(left)
        assert daemon.run("export", str(file), "--resume", *form).returncode == 0
        assert [each["id"] for each in lines(file)] == [f"r-{number}" for number in range(5)]


def test_a_recording_stays_while_there_is_nothing_to_put_in_its_place(
    stopped_daemon: Daemon,
) -> None:
    file = stopped_daemon.home / "old.ndjson"
    file.write_bytes(b"the only one\n")

    assert stopped_daemon.run("export", str(file), "--force").returncode == 3
    assert file.read_bytes() == b"the only one\n"
    file.unlink()
    assert stopped_daemon.run("export", str(file)).returncode == 3
    assert not file.exists()


@pytest.mark.parametrize("text", [b"one\ntwo", b"all in one line", b'{"a": 1}'])
def test_nothing_is_cut_off_of_what_is_no_recording(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "notes"
    file.write_bytes(text)
    with pytest.raises(BadInput, match="the last line"):
        last(file)

    assert file.read_bytes() == text


def test_large_events_are_not_gathered_by_the_hundred(tmp_path: Path) -> None:
    file = tmp_path / "large.ndjson"
    data = {"severity": "low", "message": "x" * 1_000_000}
    line = Entry.of(Event(type="RISK_ALERT", data=data), 1).wire + b"\n"
    file.write_bytes(line * 12 + Entry.of(risk(1), 2).wire + b"\n")

    assert [len(some) for some in _chunks(read(file))] == [5, 5, 3]


def test_another_log_is_not_written_behind_a_recording(daemon: Daemon, other: Daemon) -> None:
    fill(daemon, 5)
    with other.client() as client:
        client.publish(risk(99))
    file = daemon.home / "part.ndjson"
    daemon.run("export", str(file))
    before = file.read_bytes()

    done = other.run("export", str(file), "--resume")

    assert done.returncode == 2
    assert "the log does not know r-4" in done.stderr
    assert file.read_bytes() == before


def test_what_the_daemon_told_itself_is_imported_under_another_name(
    daemon: Daemon, other: Daemon
) -> None:
    root = daemon.repository("web")
    assert daemon.run("project", "add", str(root), "--id", "web").returncode == 0
    (root / "a.txt").write_text("a\n")
    daemon.git("add", ".", cwd=root)
    daemon.git("commit", "-qm", "Add a", cwd=root)
    tail = "tail -t COMMIT --since all --count 1 --timeout 20s"
    assert daemon.run(*tail.split()).returncode == 0
    file = daemon.home / "own.ndjson"
    assert daemon.run("export", str(file), "-t", "COMMIT").returncode == 0

    assert other.run("import", str(file), "--project", "copy").returncode == 0
    [commit] = kept(other)
    [told] = lines(file)
    assert commit["event_id"] == f"imported:{told['event_id']}"
    assert (commit["source"], commit["project_id"]) == ("imported/git", "copy")
    assert (commit["data"], commit["timestamp"]) == (told["data"], told["timestamp"])


def test_what_is_imported_is_no_risk_and_is_reacted_to_unless_a_condition_leaves_it_out(
    daemon: Daemon, other: Daemon
) -> None:
    def failed(number: int, task: str) -> Event:
        return Event(
            type="TASK_UPDATE", data={"task_id": task, "status": "failed"},
            event_id=f"{task}-{number}", project_id="web", extensions={"a": "b"},
        )  # fmt: skip

    [condition] = block("where imported", (PAGES / "reactions.md").read_text()).splitlines()
    assert condition in block("sh imported", (PAGES / "recording.md").read_text())
    file = daemon.home / "week.ndjson"
    with daemon.client() as client:
        client.publish_many([failed(number, "old") for number in range(3)])
    daemon.run("export", str(file), "-t", "TASK_UPDATE")
    assert other.run("import", str(file)).returncode == 0
    with other.client() as client:
        client.publish_many([failed(number, "new") for number in range(3)])

    # The rules see events in order: had they seen the imported ones, their risk came first.
    done = other.run("wait", "-t", "RISK_ALERT", "--since", "all", "--timeout", "30s")
    assert json.loads(done.stdout)["data"]["message"] == "new failed 3 times or more within 24 h"
    for words, count in ([], 6), (["-w", condition], 3):
        ran = other.home / f"ran-{count}"
        react = f'echo "$RTEVENTS_EVENT_ID" >> {ran}'
        on = Process(
            other, "-t", "TASK_UPDATE", "--since", "all", *words, "--", "sh", "-c", react
        )  # fmt: skip
        wait_for(lambda: ran.exists() and "new-2" in ran.read_text(), "it reacts")  # noqa: B023
        assert on.end() == 130
        assert len(ran.read_text().split()) == count


def test_what_is_no_event_is_told_with_its_line(daemon: Daemon) -> None:
    good = risk(1).body.decode()
    unknown = good.replace("RISK_ALERT", "NO_TYPE").replace("r-1", "r-2")
    done = daemon.run("import", "-", stdin=f"{good}\n\n{unknown}\n")
    assert done.returncode == 5
    assert "line 3: " in done.stderr
    assert "1 stored, 0 there before, 1 refused" in done.stderr

    done = daemon.run("import", "-", stdin=f"{good}\n{{half\n")
    assert done.returncode == 2
    assert "rtevents: line 2: " in done.stderr
    assert daemon.run("import", "no-such-file").returncode == 2
    assert daemon.run("replay", "no-such-file").returncode == 2
    assert daemon.run("replay", "--speed", "0x").returncode == 2


def test_an_import_goes_on_where_a_line_was_mended_or_left_out(daemon: Daemon) -> None:
    good = [risk(number).body for number in range(1, 1205)]
    bad = [b"{half", b'{"type": 5}', b"x" * (5 * 1024 * 1024), b"\xff\xfe", b"[]"]
    file = daemon.home / "damaged.ndjson"
    damaged = [*good[:700], bad[0], *good[700:1200], *bad[1:], *good[1200:]]
    file.write_bytes(b"\n".join(damaged))

    done = daemon.run("import", str(file))
    assert done.returncode == 2
    told, failed = done.stderr.splitlines()
    assert told == "rtevents: 700 stored, 0 there before, 0 refused"
    assert failed.startswith("rtevents: line 701: not an entry: ")
    assert failed.endswith(
        ": mend it and import again, nothing is stored twice; "
        "or leave out such lines with --skip-bad"
    )

    done = daemon.run("import", str(file), "--skip-bad")
    assert done.returncode == 5
    *each, counted, failed = done.stderr.splitlines()
    numbers = [re.match(r"rtevents: line (\d+): ", line)[1] for line in each]  # type: ignore[index]
    assert numbers == ["701", "1202", "1203", "1204", "1205"]
    assert counted == "rtevents: 504 stored, 700 there before, 0 refused, 5 no events"
    assert failed == "rtevents: 5 lines are not in the log"
    assert [each["event_id"] for each in kept(daemon)] == [f"r-{at}" for at in range(1, 1205)]

    file.write_bytes(b"\n".join(good))
    assert daemon.run("import", str(file)).returncode == 0


def test_of_what_is_no_recording_not_every_line_is_told(daemon: Daemon) -> None:
    done = daemon.run("import", "-", "--skip-bad", stdin="no event\n" * 1000)

    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 53
    assert "rtevents: 0 stored, 0 there before, 0 refused, 1000 no events" in done.stderr


def test_a_replay_has_the_order_and_the_pace(stopped_daemon: Daemon, tmp_path: Path) -> None:
    """It needs no daemon; ten times as fast, 1.5 s are 0.15 s."""
    daemon = stopped_daemon
    file = tmp_path / "some.ndjson"
    events = [risk(number, timestamp=1000.0 + number / 2) for number in range(4)]
    file.write_bytes(b"".join(event.body + b"\n" for event in events))
    rare = tmp_path / "rare.ndjson"
    rare.write_bytes(
        b"".join(risk(number, timestamp=60.0 * number).body + b"\n" for number in range(4))
    )
    code = (
        "import time; t = time.monotonic(); import sys; from rtevents.cli import run; "
        "c = run(sys.argv[1:]); print(time.monotonic() - t, c, file=sys.stderr)"
    )

    def took(*words: str, of: Path = file) -> tuple[float, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", code, "replay", str(of), *words],
            env=daemon.env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds, exit_code = done.stderr.split()
        assert exit_code == "0"
        return float(seconds), [json.loads(line)["event_id"] for line in done.stdout.splitlines()]

    assert took("--speed", "10x") >= (0.15, ["r-0", "r-1", "r-2", "r-3"])
    assert took("--speed", "1", "--max-pause", "10ms", of=rare)[0] < 60  # of three minutes
    assert took("--speed", "max", "-w", "data.severity == 'high'")[1] == ["r-1", "r-3"]


def test_a_replay_can_be_published(daemon: Daemon) -> None:
    fill(daemon, 10)

    done = daemon.run(
        "replay", "--publish", "--speed", "max", "-w", 'data.severity == "high"',
        "--as-project", "demo",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "rtevents: 5 events published\n")
    assert {each["project_id"] for each in kept(daemon)[10:]} == {"demo"}
    old, new = kept(daemon)[:10], kept(daemon)[10:]
    assert [each["extensions"]["replayed_from"] for each in new] == [
        f"r-{n}" for n in (1, 3, 5, 7, 9)
    ]
    assert [each["data"] for each in new] == [old[n]["data"] for n in (1, 3, 5, 7, 9)]
    assert min(each["timestamp"] for each in new) > max(each["timestamp"] for each in old)


def test_a_replay_leaves_the_risks_of_real_projects_as_they_are(daemon: Daemon) -> None:
    def said(state: str, number: int) -> Event:
        data = {"severity": "high", "message": "m", "fingerprint": "f", "state": state}
        return Event(type="RISK_ALERT", data=data, project_id="web", event_id=f"k-{number}")

    progress = Event(type="PROGRESS_UPDATE", data={"done": 1, "total": 2}, project_id="web")
    file = daemon.home / "demo.ndjson"
    with daemon.client() as client:
        client.publish_many([said("open", 1), progress, said("closed", 2)])
    assert daemon.run("export", str(file)).returncode == 0
    with daemon.client() as client:
        client.publish(said("open", 3))
    before = daemon.run("risks", "-o", "json").stdout
    assert [each["state"] for each in json.loads(before)] == ["open"]

    done = daemon.run("replay", str(file), "--publish", "--speed", "max")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "rtevents: 1 events published",
        "rtevents: 2 RISK_ALERTs left out: --as-project ID publishes them for a project",
    ]
    assert daemon.run("risks", "-o", "json").stdout == before

    done = daemon.run(
        "replay", str(file), "--publish", "--speed", "max", "--as-project", "demo",
        "-w", "type == 'RISK_ALERT' and data.state == 'open'",
    )  # fmt: skip
    assert done.stderr == "rtevents: 1 events published\n"
    assert daemon.run("risks", "-o", "json", "--project", "web").stdout == before
    [shown] = json.loads(daemon.run("risks", "-o", "json", "--project", "demo").stdout)
    assert (shown["project_id"], shown["fingerprint"]) == ("demo", "demo:f")


def test_a_replay_is_shown_as_asked(daemon: Daemon) -> None:
    fill(daemon, 2)

    done = daemon.run("replay", "--speed", "max", "-o", "pretty")
    assert ["RISK_ALERT" in line for line in done.stdout.splitlines()] == [True, True]
    done = daemon.run("replay", "--speed", "max", "-o", "ndjson")
    assert [json.loads(line)["event_id"] for line in done.stdout.splitlines()] == ["r-0", "r-1"]
    assert daemon.run("replay", "--as-project", "demo").returncode == 2


def test_a_replay_goes_on_where_an_event_is_refused(daemon: Daemon) -> None:
    file = daemon.home / "some.ndjson"
    events = [risk(number, type=("RISK_ALERT", "NO_TYPE")[number in (1, 2)]) for number in range(4)]
    file.write_bytes(b"\n" + b"".join(event.body + b"\n" for event in events) + b"{half\n")

    words = ("replay", str(file), "--publish", "--speed", "max", "--as-project", "demo")
    done = daemon.run(*words)
    first, second, counted, failed = done.stderr.splitlines()
    assert first.startswith("rtevents: line 3: ")
    assert second.startswith("rtevents: line 4: ")
    assert counted == "rtevents: 2 events published, 2 refused"
    assert failed.startswith("rtevents: line 6: not an entry: ")
    assert done.returncode == 2
    file.write_bytes(file.read_bytes().removesuffix(b"{half\n"))
    done = daemon.run(*words)
    assert done.stderr.splitlines()[2:] == [
        "rtevents: 2 events published, 2 refused",
        "rtevents: 2 events are not in the log",
    ]
    assert done.returncode == 5
    assert len(kept(daemon)) == 4


def test_an_export_goes_into_what_is_no_file(daemon: Daemon) -> None:
    fill(daemon, 3)
    daemon.run("export", str(daemon.home / "whole.ndjson"))
    whole = (daemon.home / "whole.ndjson").read_bytes()
    fifo = daemon.home / "pipe"
    os.mkfifo(fifo)
    run = [sys.executable, "-m", "rtevents", "export"]
    with subprocess.Popen([*run, str(fifo)], env=daemon.env, stderr=-1) as started:
        assert fifo.read_bytes() == whole
        assert started.communicate()[1] == f"rtevents: 3 events written to {fifo}\n".encode()
    assert started.returncode == 0
    # Who reads has had enough.
    with subprocess.Popen([*run, str(fifo)], env=daemon.env, stderr=-1) as started:
        os.close(os.open(fifo, os.O_RDONLY))
        assert started.wait(PATIENCE) == 0
    for name in ("/dev/stdout", "/dev/fd/1", "-"):
        assert daemon.run("export", name).stdout.encode() == whole
        # What is there stays, where the shell appends.
        with (daemon.home / "appended").open("wb") as output:
            output.write(b"before\n")
            output.flush()
            subprocess.run([*run, name], env=daemon.env, stdout=output, check=True)
        assert (daemon.home / "appended").read_bytes() == b"before\n" + whole
    assert daemon.run("export", os.devnull).returncode == 0
    for name in (str(fifo), "/dev/stdout"):
        refused = daemon.run("export", name, "--resume")
        assert (refused.returncode, "is no file that has a last event" in refused.stderr) == (
            2,
            True,
        )
    # A file is asked for, as ever.
    assert "is there already" in daemon.run("export", str(daemon.home / "whole.ndjson")).stderr


@pytest.mark.parametrize("command", [["import"], ["replay", "--speed", "max"]])
def test_what_is_no_file_is_read_as_a_stream(daemon: Daemon, command: list[str]) -> None:
    fifo = daemon.home / "pipe"
    os.mkfifo(fifo)
    good = risk(1).body + b"\n"
    run = [sys.executable, "-m", "rtevents", *command]
    with subprocess.Popen([*run, str(fifo)], env=daemon.env, stdout=-1, stderr=-1) as started:
        fifo.write_bytes(good * 3)
        out, told = started.communicate()
    assert started.returncode == 0, told
    assert out.count(b"r-1") == 3 or told == b"rtevents: 1 stored, 2 there before, 0 refused\n"
    assert daemon.run(*command, "/dev/stdin", stdin=good).returncode == 0
    assert daemon.run(*command, str(daemon.home)).returncode == 2
