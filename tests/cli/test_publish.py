"""rtevents publish: what each kind stores, and what is refused how."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rtevents
from rtevents.core.causes import extensions_of
from rtevents.core.event import Event
from rtevents.core.filter import Filter
from tests.conftest import PATIENCE, Daemon, wait_for

KINDS: list[tuple[list[str], str, dict[str, Any]]] = [
    (
        ["risk", "disk full", "--severity", "high", "--rule", "disk"],
        "RISK_ALERT",
        {"severity": "high", "message": "disk full", "rule": "disk"},
    ),
    (
        ["task", "T-12", "--status", "done", "--title", "Go"],
        "TASK_UPDATE",
        {"task_id": "T-12", "status": "done", "title": "Go"},
    ),
    (
        ["progress", "--done", "7", "--total", "9", "--label", "import", "--unit", "files"],
        "PROGRESS_UPDATE",
        {"done": 7, "total": 9, "percent": 77.78, "label": "import", "unit": "files"},
    ),
    (["progress", "--done", "0", "--total", "0"], "PROGRESS_UPDATE", {"done": 0, "total": 0}),
    (
        ["file", "b.py", "--change", "renamed", "--old-path", "a.py", "--data", '{"size": 3}'],
        "FILE_CHANGE",
        {"file_path": "b.py", "change_type": "renamed", "old_path": "a.py", "size": 3},
    ),
    (
        ["system", "degraded", "--reason", "disk", "--reason", "queue", "--event", "full"],
        "SYSTEM_STATUS",
        {"status": "degraded", "event": "full", "reasons": ["disk", "queue"]},
    ),
    (
        ["dashboard", "users=12", "load=0.7", "branch=main", "up=true"],
        "DASHBOARD_UPDATE",
        {"metrics": {"users": 12, "load": 0.7, "branch": "main", "up": True}},
    ),
    (["auto-commit", "start", "--changes", "3"], "AUTO_COMMIT_START", {"changes_count": 3}),
    (
        ["auto-commit", "result", "Save", "--changes", "3", "--commit", "0a1b2c3d"],
        "AUTO_COMMIT_RESULT",
        {"success": True, "changes_count": 3, "message": "Save", "commit_hash": "0a1b2c3d"},
    ),
    (
        ["auto-commit", "result", "no identity", "--changes", "3", "--failed"],
        "AUTO_COMMIT_RESULT",
        {"success": False, "changes_count": 3, "message": "no identity"},
    ),
    (
        ["auto-commit", "error", "no identity", "--details", "set it"],
        "AUTO_COMMIT_ERROR",
        {"error": "no identity", "details": "set it"},
    ),
    (
        ["event", "task-update", "--data", '{"task_id": "a", "status": "b", "more": [1]}'],
        "TASK_UPDATE",
        {"task_id": "a", "status": "b", "more": [1]},
    ),
]


def stored(daemon: Daemon) -> list[Event]:
    """Return what the log holds."""
    with daemon.client() as client:
        return [entry.event for entry in client.history(limit=1000).events]


def lines_of(*ids: str) -> str:
    """Return one event a line."""
    fields = [
        {"event_id": each, "type": "AUTO_COMMIT_ERROR", "data": {"error": each}} for each in ids
    ]
    return "".join(json.dumps(each) + "\n" for each in fields)


def test_each_kind_stores_its_type_and_data(daemon: Daemon) -> None:
    for words, kind, data in KINDS:
        done = daemon.run("publish", *words, "--project", "web", "--source", "ci", "--time", "5")

        assert (done.returncode, done.stderr) == (0, "")
        event = stored(daemon)[-1]
        assert (event.type, event.data) == (kind, data)
        assert (event.project_id, event.source, event.timestamp) == ("web", "ci", 5.0)


def test_a_commit_is_read_by_the_daemon(daemon: Daemon) -> None:
    root = daemon.repository()

    done = daemon.run("publish", "commit", "HEAD", "-C", str(root))

    assert done.returncode == 0, done.stderr
    event = stored(daemon)[-1]
    assert event.type == "COMMIT"
    assert event.data["commit_hash"] == daemon.git("rev-parse", "HEAD", cwd=root)
    wrong = daemon.run("publish", "commit", "nothing", "-C", str(root))
    assert wrong.returncode != 0
    assert len(wrong.stderr.splitlines()) == 1
    quiet = daemon.run("publish", "commit", "nothing", "-C", str(root), "--quiet")
    assert (quiet.returncode, quiet.stderr) == (wrong.returncode, "")


def test_an_id_given_again_is_a_duplicate_and_another_body_a_conflict(daemon: Daemon) -> None:
    words = ["publish", "risk", "full", "--id", "disk:1", "--time", "5"]

    first, second = (json.loads(daemon.run(*words).stdout) for _ in range(2))
    other = daemon.run("publish", "risk", "empty", "--id", "disk:1", "--time", "5")

    assert first == {"event_id": "disk:1", "seq": 1, "duplicate": False}
    assert second == {"event_id": "disk:1", "seq": 1, "duplicate": True}
    assert other.returncode == 5
    assert other.stderr == (
        "rtevents: event_id 'disk:1' is stored already as seq 1 with another body\n"
    )
    assert len(stored(daemon)) == 1


def test_a_time_that_nobody_named_is_no_part_of_the_body(daemon: Daemon) -> None:
    words = ["publish", "risk", "full", "--id", "disk:1"]

    first, second = (json.loads(daemon.run(*words).stdout) for _ in range(2))
    timed = daemon.run(*words, "--time", "5")

    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["seq"] == second["seq"]
    assert timed.returncode == 5


def test_data_comes_from_a_file_or_from_stdin(daemon: Daemon) -> None:
    (daemon.home / "task.json").write_text('{"task_id": "ä", "status": "b"}', encoding="utf-8")

    from_file = daemon.run("publish", "event", "TASK_UPDATE", "--data", "@task.json")
    from_stdin = daemon.run(
        "publish", "event", "TASK_UPDATE", "--data", "-", stdin='{"task_id": "ö", "status": "b"}'
    )

    assert (from_file.returncode, from_stdin.returncode) == (0, 0)
    assert [event.data["task_id"] for event in stored(daemon)] == ["ä", "ö"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "not JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ("[]", "expected a JSON object"),
        ("@nothing.json", "nothing.json: No such file or directory"),
        ("@bytes", "not JSON"),
        ("-", "not JSON"),
    ],
)
def test_data_that_is_no_object_is_misuse(stopped_daemon: Daemon, data: str, said: str) -> None:
    (stopped_daemon.home / "bytes").write_bytes(b'{"a": "\xff"}')

    done = stopped_daemon.run("publish", "event", "X", "--data", data, stdin=b"\xff\xfe")

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_refused_event_is_told_with_its_place_and_exits_with_5(daemon: Daemon) -> None:
    refused = {
        ("event", "COMIT"): "unknown event type 'COMIT', did you mean COMMIT?; "
        "add it with: rtevents types add COMIT\n",
        ("event", "xyz-zy"): "unknown event type 'XYZ_ZY'; "
        "add it with: rtevents types add XYZ_ZY\n",
        ("event", "TASK_UPDATE", "--data", '{"task_id": "a"}'): "status",
        ("event", "TASK_UPDATE", "--data", '{"task_id": 1, "status": "b"}'): "data.task_id",
        ("event", "RISK_ALERT", "--data", '{"severity": "huge", "message": "a"}'): "data.severity",
        ("event", "HEALTH_CHECK", "--data", '{"status": "ok", "timestamp": 1}'): "HEALTH_CHECK",
        ("risk", "x", "--id", "a b"): "event_id: expected 1 to 128",
        ("risk", "x" * 1_048_576): "1048576 at most",
        ("risk", "x", "--source", "rtevents/git"): "source",
    }
    for words, said in refused.items():
        # An argument of a command has 128 KiB at most: a longer one comes by stdin.
        stdin = json.dumps({"severity": "low", "message": words[1]}) if len(words[1]) > 9999 else ""
        given = ["event", "RISK_ALERT", "--data", "-"] if stdin else words
        done = daemon.run("publish", *given, stdin=stdin)

        assert done.returncode == 5, words[:3]
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert stored(daemon) == []


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ([b"risk", b"bad \xff"], "data.message"),
        ([b"task", b"a", b"--status", b"\xff"], "data.status"),
        ([b"system", b"ok", b"--reason", b"a", b"--reason", b"\xff"], "data.reasons[1]"),
        ([b"risk", b"a", b"--source", b"\xff"], "source"),
        ([b"event", b"X", b"--data", b'{"a": {"b": "\\ud800"}}'], "data.a.b"),
    ],
)
def test_bytes_that_are_no_text_are_refused_by_their_place(
    stopped_daemon: Daemon, words: list[bytes], place: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rtevents", "publish", *words],
        env=stopped_daemon.env,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 5
    assert done.stderr.startswith(f"rtevents: {place}: not UTF-8 text: ".encode())
    assert len(done.stderr.splitlines()) == 1


def test_bad_lines_are_told_by_number_and_the_others_stored(daemon: Daemon) -> None:
    bad = b'{"type":"NOPE","data":{}}\nnot json\n\n{"type":"COMMIT"}\n[]\n{"type":"\xff"}\n'
    given = lines_of("a", "b").encode() + bad + lines_of("c").encode().rstrip(b"\n")

    done = daemon.run("publish", "--stdin", stdin=given)

    assert done.returncode == 5
    assert [event.event_id for event in stored(daemon)] == ["a", "b", "c"]
    assert [json.loads(line)["event_id"] for line in done.stdout.splitlines()] == ["a", "b", "c"]
    told = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in told[:-1]] == [f"line {n}" for n in (3, 4, 6, 7, 8)]
    assert told[-1] == "rtevents: 5 lines were refused"


def test_more_lines_than_one_request_holds_are_all_stored(daemon: Daemon) -> None:
    done = daemon.run("publish", "--stdin", stdin=lines_of(*(f"e{n}" for n in range(1201))))

    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == list(range(1, 1202))


def test_a_line_from_a_slow_pipe_is_stored_before_the_next_one_comes(daemon: Daemon) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rtevents", "publish", "--stdin"],
        env=daemon.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    with process:
        for number in (1, 2):
            process.stdin.write(lines_of(f"e{number}"))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["seq"] == number
        process.stdin.close()

        assert process.wait(PATIENCE) == 0


def test_without_a_daemon_there_is_one_line_and_exit_3(stopped_daemon: Daemon) -> None:
    done = stopped_daemon.run("publish", "risk", "x")
    lines = stopped_daemon.run("publish", "--stdin", stdin=lines_of("a"))

    assert (done.returncode, lines.returncode) == (3, 3)
    assert done.stderr == (
        f"rtevents: no daemon at {stopped_daemon.socket}: start one with: rtevents serve\n"
    )
    assert lines.stderr.splitlines()[0] == "rtevents: nothing is stored from line 1 on"


def test_what_was_spooled_is_delivered_once_and_in_order(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    for number in (1, 2):
        done = daemon.run("publish", "risk", f"r{number}", "--id", f"r{number}", "--spool")
        assert done.returncode == 0
        assert "kept until it can be stored" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    lines = daemon.run(
        "publish", "--stdin", "--spool", stdin=lines_of("a") + "bad\n" + lines_of("b")
    )
    assert lines.returncode == 5
    assert "line 2: not JSON" in lines.stderr
    (daemon.home / "state/rtevents/spool/0-wrong.json").write_text('{"type":"NOPE","data":{}}')

    daemon.start()
    last = daemon.run("publish", "risk", "r3", "--id", "r3", "--spool")

    assert last.returncode == 0
    assert [event.event_id for event in stored(daemon)] == ["r1", "r2", "a", "b", "r3"]
    spool = daemon.home / "state/rtevents/spool"
    wait_for(
        lambda: [file.name for file in spool.iterdir()] == ["0-wrong.bad"], "the spool is empty"
    )


def test_the_same_words_spooled_again_are_the_same_event(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    words = ["publish", "risk", "full", "--id", "disk:1", "--spool"]
    line = '{"type":"TASK_UPDATE","data":{"task_id":"a","status":"b"},"event_id":"t"}'
    for _ in range(2):
        daemon.run(*words)
        daemon.run("publish", "--stdin", "--spool", stdin=line)
    spool = daemon.home / "state/rtevents/spool"
    assert len(list(spool.iterdir())) == 4

    daemon.start()
    again = daemon.run(*words)

    assert json.loads(again.stdout) == {"event_id": "disk:1", "seq": 1, "duplicate": True}
    wait_for(lambda: list(spool.iterdir()) == [], "the spool is empty")
    assert [event.event_id for event in stored(daemon)] == ["disk:1", "t"]


def test_what_can_never_be_stored_is_not_spooled(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    line = '{"type":"TASK_UPDATE","data":{"task_id":"a"}}'

    none = daemon.run("publish", "--stdin", "--spool", stdin=line)
    one = daemon.run("publish", "event", "RISK_ALERT", "--data", '{"severity": "x"}', "--spool")
    lines = daemon.run("publish", "--stdin", "--spool", stdin=line + "\n" + lines_of("b"))

    assert none.stderr == (
        "rtevents: line 1: data.status: missing field\nrtevents: 1 line was refused\n"
    )
    assert (one.returncode, one.stdout) == (5, "")
    assert one.stderr == "rtevents: data.severity: invalid enum value 'x'\n"
    assert lines.returncode == 5
    assert "line 1: data.status: missing field" in lines.stderr
    spool = daemon.home / "state/rtevents/spool"
    assert [file.name.partition("-")[2] for file in spool.iterdir()] == ["b.undated.json"]


def test_status_tells_what_was_set_aside_and_where(stopped_daemon: Daemon) -> None:
    spool = stopped_daemon.home / "state/rtevents/spool"
    stopped_daemon.run("publish", "event", "NOPE", "--spool")
    stopped_daemon.start()
    wait_for(lambda: [file.suffix for file in spool.iterdir()] == [".bad"], "it is refused")

    lines = stopped_daemon.run("status").stdout.splitlines()
    found = json.loads(stopped_daemon.run("status", "--json").stdout)

    assert f"spool    0 waiting, 1 refused and set aside as .bad  {spool}" in lines
    assert found["spool"] == {"path": str(spool), "waiting": 0, "set_aside": 1}


def test_a_stopped_daemon_makes_no_duplicates_of_spooled_lines(daemon: Daemon) -> None:
    daemon.run("publish", "--stdin", "--spool", stdin=lines_of("a"))
    daemon.stop()
    daemon.run("publish", "--stdin", "--spool", stdin=lines_of("a", "b"))

    daemon.start()
    daemon.run("publish", "--stdin", "--spool", stdin=lines_of("b", "c"))

    assert [event.event_id for event in stored(daemon)] == ["a", "b", "c"]


def test_a_spool_that_cannot_be_written_is_told_in_one_line(stopped_daemon: Daemon) -> None:
    env = {"XDG_STATE_HOME": "/dev/null"}

    done = stopped_daemon.run("publish", "risk", "x", "--spool", env=env)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "rtevents: /dev/null/rtevents: Not a directory\n"


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_trace_of_the_environment_goes_along(daemon: Daemon) -> None:
    daemon.env |= {"TRACEPARENT": PARENT, "TRACESTATE": "vendor=1"}
    page = (Path(rtevents.__file__).parent / "docs" / "integration.md").read_text()
    shown = page.partition("```sh trace\n")[2].partition("```")[0].splitlines()
    assert shown == [f"export TRACEPARENT={PARENT}", "rtevents publish task build --status done"]
    assert daemon.run(*shown[1].split()[1:]).returncode == 0
    before = daemon.run("publish", "task", "T", "--status", "x", "--id", "first")
    assert before.returncode == 0, before.stderr
    caused = daemon.run("publish", "task", "T", "--status", "y", "--caused-by", "first")
    other = "00-" + "1" * 32 + "-" + "2" * 16 + "-00"
    lines = [
        {"type": "TASK_UPDATE", "data": {"task_id": "T", "status": "a"}},
        {"type": "TASK_UPDATE", "data": {"task_id": "T", "status": "b"},
         "extensions": {"traceparent": other}},
        {"type": "TASK_UPDATE", "data": {"task_id": "T", "status": "c"}, "extensions": {"k": "v"}},
    ]  # fmt: skip
    given = "".join(json.dumps(line) + "\n" for line in lines) + "nonsense}\n"
    told = daemon.run("publish", "--stdin", stdin=given)
    assert told.returncode == 5
    daemon.env["TRACEPARENT"] = "no trace"
    daemon.run("publish", "task", "T", "--status", "d")

    with daemon.client() as client:
        events = client.history(Filter(types=frozenset({"TASK_UPDATE"}))).events
    found = [extensions_of(entry) for entry in events]
    trace = {"traceparent": PARENT, "tracestate": "vendor=1"}
    assert caused.returncode == 0
    assert found == [
        trace,
        trace,
        trace | {"causation_id": "first", "correlation_id": "first"},
        trace,
        {"traceparent": other},
        {"k": "v"},
        {},
    ]
