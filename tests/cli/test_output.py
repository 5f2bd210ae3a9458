"""What reaches a terminal or a pipe."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from rtevents.cli.output import ascii_line, pretty_line, safe
from rtevents.core.event import Entry, Event, EventType, decode_entry

NOW = time.time()


def entry(kind: str, data: dict[str, Any], **fields: Any) -> Entry:
    """Return a stored event as it comes over the wire."""
    event = Event(type=kind, data=data, timestamp=fields.pop("timestamp", NOW), **fields)
    return decode_entry(b'{"seq":7,' + event.body[1:])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b]52;c;eA==\x07", r"\x1b]52;c;eA==\x07", id="OSC 52: the clipboard"),
        pytest.param("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred", id="CSI: colours, erasing"),
        pytest.param("\x9b31m\x85\x90", r"\x9b31m\x85\x90", id="C1"),
        pytest.param("a\nb\r\tc", r"a\nb\r\tc", id="lines"),
        pytest.param("user\u202etxt.exe\u2066", r"user\u202etxt.exe\u2066", id="bidirectional"),
        pytest.param("pay\u200bpal\u00ad\ufeff", r"pay\u200bpal\xad\ufeff", id="zero width"),
        pytest.param("\udcff\ud800", r"\udcff\ud800", id="lone surrogates"),
        pytest.param("tag\U000e0041", r"tag\ue0041", id="tags"),
        pytest.param("x\u3164\u115f\u2800\ufe01", r"x\u3164\u115f\u2800\ufe01", id="fillers"),
        pytest.param("\u2764\ufe0f", "\u2764\ufe0f", id="emoji"),
        pytest.param("\x00\x08\x7f", r"\x00\x08\x7f", id="backspace, delete"),
        pytest.param("Grüße 你好 😀 «x»", "Grüße 你好 😀 «x»", id="what people write"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_made_visible(text: str, shown: str) -> None:
    assert safe(text) == shown


@pytest.mark.parametrize(
    "text", ["plain", "Grüße 你好 😀", "\x7f\x9b\u202e", '"\\ \n', "\x1b]0;x\x07", "e\u0301"]
)
def test_a_line_for_a_pipe_is_ascii_and_the_same_json(text: str) -> None:
    wire = entry("RISK_ALERT", {"severity": "low", "message": text, text: [text]}).wire

    line = ascii_line(wire)

    assert re.fullmatch(r"[\x20-\x7e]+", line)
    assert json.loads(line) == json.loads(wire)


PRETTY: dict[str, tuple[dict[str, Any], str]] = {
    "FILE_CHANGE": (
        {"file_path": "b.py", "change_type": "renamed", "old_path": "a.py"},
        "renamed a.py -> b.py",
    ),
    "COMMIT": (
        {
            "commit_hash": "0123456789abcdef",
            "message": "Fix it\n\nat last",
            "author": "Ada",
            "branch": "main",
            "insertions": 3,
            "deletions": 1,
        },
        "0123456789 [main] Fix it  (Ada)  +3 -1",
    ),
    "PROGRESS_UPDATE": (
        {"done": 7, "total": 10, "unit": "files", "label": "import"},
        "70%  7 of 10 files  import",
    ),
    "RISK_ALERT": ({"severity": "high", "message": "disk\x1b[2J"}, r"high: disk\x1b[2J"),
    "TASK_UPDATE": (
        {"task_id": "T-1", "status": "done", "title": "Go", "exit_code": 0, "duration": 1.25},
        "T-1 done  Go  exit 0  1.2s",
    ),
    "SYSTEM_STATUS": (
        {"status": "degraded", "event": "full", "reasons": ["queue", "disk"]},
        "degraded  full  queue; disk",
    ),
    "DASHBOARD_UPDATE": (
        {"metrics": {"users": 12, "branch": "main", "ok": True}},
        "users=12  branch=main  ok=true",
    ),
    "HEALTH_CHECK": ({"status": "ok", "timestamp": 1.0}, '{"status": "ok", "timestamp": 1.0}'),
    "AUTO_COMMIT_START": ({"changes_count": 3}, "3 changes"),
    "AUTO_COMMIT_RESULT": (
        {"success": False, "changes_count": 3, "message": "no identity"},
        "not done, 3 changes: no identity",
    ),
    "AUTO_COMMIT_ERROR": ({"error": "no identity"}, "no identity"),
}


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_is_one_aligned_line_with_what_happened(kind: str) -> None:
    data, said = PRETTY[kind]

    line = re.sub(r"\x1b\[[0-9;]*m", "", pretty_line(entry(kind, data, project_id="web")))

    clock = time.strftime("%H:%M:%S", time.localtime(NOW))
    assert line == f"{clock}  {'web':<12}  {kind:<18}  {said}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"status": "done", "change": "status", "old_status": "open"}, "T-1 done  Go  (was open)"),
        ({"status": "open", "change": "moved"}, "T-1 open  Go  (moved)"),
        (
            {"status": "open", "change": "moved", "old_path": "a\x1b.md"},
            r"T-1 open  Go  (moved from a\x1b.md)",
        ),
        ({"status": "open", "change": "found"}, "T-1 open  Go  (found)"),
        ({"status": "removed", "change": "removed", "old_status": "open"}, "T-1 removed  Go"),
        (
            {"status": "failed", "exit_code": 3, "duration": 1.0, "stderr": ["a", "no disk"]},
            "T-1 failed  Go  exit 3  1.0s  no disk",
        ),
        ({"status": "done", "exit_code": 0, "stderr": ["a warning"]}, "T-1 done  Go  exit 0"),
        ({"status": "failed", "exit_code": 3, "stderr": []}, "T-1 failed  Go  exit 3"),
    ],
)
def test_a_task_says_what_happened_to_it(data: dict[str, Any], said: str) -> None:
    line = pretty_line(entry("TASK_UPDATE", {"task_id": "T-1", "title": "Go", **data}))

    assert line.endswith(f"  {said}")


def test_an_event_of_another_day_has_its_date() -> None:
    line = pretty_line(entry("AUTO_COMMIT_ERROR", {"error": "x"}, timestamp=86_400.0))

    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(86_400.0)) in line


def test_an_event_of_a_time_to_come_has_its_date() -> None:
    then = time.time() + 3600

    line = pretty_line(entry("AUTO_COMMIT_ERROR", {"error": "x"}, timestamp=then))

    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(then)) in line


@pytest.mark.parametrize("timestamp", [1e300, -1e300, 1e17, 1.7976931348623157e308])
def test_a_time_that_no_calendar_holds_is_a_number(timestamp: float) -> None:
    line = pretty_line(entry("AUTO_COMMIT_ERROR", {"error": "x"}, timestamp=timestamp))

    assert f"{timestamp:g}" in line


@pytest.mark.parametrize("kind", [*EventType, "DEPLOY"])
def test_data_of_another_shape_is_shown_as_json(kind: str) -> None:
    line = pretty_line(entry(kind, {"what\x07": None}))

    assert line.endswith(r'{"what\u0007": null}')
    assert "\x07" not in line


@pytest.mark.parametrize("kind", list(EventType))
def test_data_of_wrong_types_is_shown_all_the_same(kind: str) -> None:
    data: dict[str, Any] = {name: [None] for name in PRETTY[kind][0]}

    assert "\n" not in pretty_line(entry(kind, data))
