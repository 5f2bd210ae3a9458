"""What reaches a terminal: foreign text made safe, colours, notices, one line per event."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from rtevents.errors import GapFound

if TYPE_CHECKING:
    from rtevents.core.event import Entry, Gap

HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e01ef]"
)
"""Control, bidirectional, invisible and unpaired characters (S11); U+FE0F is part of emoji."""


CLOCK_SKEW = 60.0
"""Seconds by which the clock of a publisher may be ahead of ours before its time has a date."""


def safe(text: str) -> str:
    """Return `text` with every character that a terminal would obey, or hide, made visible."""
    return HIDDEN.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if code in _SHORT:
        return _SHORT[code]
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


_SHORT = {9: "\\t", 10: "\\n", 13: "\\r"}


def moment(seconds: float, form: str) -> str:
    """Return a time as this machine's clock shows it; one that no calendar has, as it is."""
    try:
        return time.strftime(form, time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s after 1970"


def size(count: float) -> str:
    """Return a number of bytes in words: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def notice(text: str) -> None:
    """Say something about the work, on stderr."""
    print(f"rtevents: {safe(text)}", file=sys.stderr, flush=True)


def tell_gap(gap: Gap, *, fail: bool) -> None:
    """
    Tell what can no longer be read.

    Args:
        fail: Whether that is an error.
    Raises:
        GapFound: It is.
    """
    text = f"gap: {gap.words}"
    if fail:
        raise GapFound(text)
    notice(text)


def is_terminal() -> bool:
    """Tell whether a person reads stdout."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII: what reads it may show it to a terminal."""
    print(ascii_line(_json(value).encode()))


def _json(value: Any) -> str:
    # Not by json: whoever has an answer of the daemon has loaded msgspec already.
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def ascii_line(wire: bytes) -> str:
    """Return an event's wire form for a pipe: unchanged, but in ASCII."""
    if wire.isascii() and b"\x7f" not in wire:
        return wire.decode()
    return _NOT_ASCII.sub(lambda match: _escapes(match[0]), wire.decode())


_NOT_ASCII = re.compile(r"[^\x00-\x7e]+")


def _escapes(text: str) -> str:
    """Return characters as JSON escapes: their UTF-16 code units (RFC 8259, section 7)."""
    digits = text.encode("utf-16-be").hex()
    return "".join(f"\\u{digits[at : at + 4]}" for at in range(0, len(digits), 4))


def pretty_line(entry: Entry) -> str:
    """Return an event as one line for a person: time, project, type, what happened."""
    clock = _clock(entry.timestamp)
    data = entry.event.data
    kind = typer.style(f"{safe(entry.type):<18}", fg=_colour(entry.type, data))
    project = typer.style(f"{safe(entry.project_id or '-'):<12}", dim=True)
    said = "damaged on the disk" if entry.is_corrupt else summary(entry.type, data)
    return f"{typer.style(clock, dim=True)}  {project}  {kind}  {safe(said)}"


def _clock(timestamp: float) -> str:
    """Return the time of the last day, with its date any other, and as a number what is none."""
    is_near = -CLOCK_SKEW < time.time() - timestamp < 86_400
    try:
        return time.strftime("%H:%M:%S" if is_near else "%Y-%m-%d %H:%M", time.localtime(timestamp))
    except (OverflowError, ValueError, OSError):  # beyond what a calendar holds
        return f"{timestamp:g}"


def summary(kind: str, data: dict[str, Any]) -> str:
    """Return what an event says in a few words; foreign text, not made safe yet."""
    if kind in _SUMMARIES:
        try:
            return _SUMMARIES[kind](data)
        except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
            pass  # an event of a log whose types were others
    return _json(data)


def _file(data: dict[str, Any]) -> str:
    moved = f"{data['old_path']} -> " if data.get("old_path") else ""
    return f"{data['change_type']} {moved}{data['file_path']}"


def _commit(data: dict[str, Any]) -> str:
    lines = ""
    if data.get("insertions") is not None:
        lines = f"  +{data['insertions']} -{data.get('deletions', 0)}"
    branch = f" [{data['branch']}]" if data.get("branch") else ""
    subject = data["message"].strip().partition("\n")[0]
    return f"{data['commit_hash'][:10]}{branch} {subject}  ({data['author']}){lines}"


def _ref(data: dict[str, Any]) -> str:
    name = data["ref"].removeprefix("refs/").removeprefix("heads/")
    forced = ", forced" if data.get("forced") else ""
    way = " -> ".join(sha[:10] for sha in (data["old"], data["new"]) if sha)
    return f"{name} {data['change']}{forced}  {way}  {data.get('reason') or ''}".rstrip()


def _progress(data: dict[str, Any]) -> str:
    done, total = data["done"], data["total"]
    percent = data.get("percent")
    if percent is None and total:
        percent = 100 * done / total
    share = f"{percent:.0f}%  " if percent is not None else ""
    unit = f" {data['unit']}" if data.get("unit") else ""
    return f"{share}{done:g} of {total:g}{unit}  {data.get('label') or ''}".rstrip()


def _task(data: dict[str, Any]) -> str:
    words = [f"{data['task_id']} {data['status']}", data.get("title") or "", _task_change(data)]
    if data.get("exit_code") is not None:
        words.append(f"exit {data['exit_code']}")
    if data.get("duration") is not None:
        words.append(f"{data['duration']:.1f}s")
    if data.get("exit_code") and data.get("stderr"):
        words.append(data["stderr"][-1])
    return "  ".join(word for word in words if word)


def _task_change(data: dict[str, Any]) -> str:
    """Return what happened to a task of a list, where its status does not tell."""
    change = data.get("change")
    if change == "status" and data.get("old_status"):
        return f"(was {data['old_status']})"
    if change == "moved" and data.get("old_path"):
        return f"(moved from {data['old_path']})"
    return "" if change in (None, "removed") else f"({change})"


def _risk(data: dict[str, Any]) -> str:
    state = {"updated": "still ", "closed": "over, was "}.get(data.get("state") or "", "")
    return f"{state}{data['severity']}: {data['message']}"


def _metrics(data: dict[str, Any]) -> str:
    return "  ".join(
        f"{name}={value if isinstance(value, str) else _json(value)}"
        for name, value in data["metrics"].items()
    )


def _status(data: dict[str, Any]) -> str:
    named = [data.get(name) or "" for name in ("event", "node")]
    words = [data["status"], *named, "; ".join(data.get("reasons") or [])]
    return "  ".join(word for word in words if word)


_SUMMARIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "FILE_CHANGE": _file,
    "COMMIT": _commit,
    "REF_UPDATE": _ref,
    "PROGRESS_UPDATE": _progress,
    "RISK_ALERT": _risk,
    "TASK_UPDATE": _task,
    "SYSTEM_STATUS": _status,
    "DASHBOARD_UPDATE": _metrics,
    "AUTO_COMMIT_START": lambda data: f"{data['changes_count']} changes",
    "AUTO_COMMIT_RESULT": lambda data: (
        f"{'done' if data['success'] else 'not done'}, {data['changes_count']} changes: "
        f"{data['message']}"
    ),
    "AUTO_COMMIT_ERROR": lambda data: str(data["error"]),
}

_COLOURS = {
    "COMMIT": typer.colors.GREEN,
    "REF_UPDATE": typer.colors.GREEN,
    "FILE_CHANGE": typer.colors.CYAN,
    "PROGRESS_UPDATE": typer.colors.BLUE,
    "TASK_UPDATE": typer.colors.BLUE,
    "AUTO_COMMIT_ERROR": typer.colors.RED,
}


def _colour(kind: str, data: dict[str, Any]) -> str:
    severity = data.get("severity")
    if severity in ("high", "critical") or data.get("status") == "failed":
        return typer.colors.RED
    if severity or data.get("status") == "degraded":
        return typer.colors.YELLOW
    return _COLOURS.get(kind, typer.colors.MAGENTA)
