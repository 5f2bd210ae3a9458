"""What a command says of its progress: on a descriptor of its own, or in what it prints."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

LONGEST = 4096
"""Bytes of a line on the descriptor beyond which it is not read."""

TAIL = 8192
"""Bytes of the end of what a command prints that are looked at."""

LINES, WIDTH = 10, 300
"""Lines of its end that are told, and characters of each."""

_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
_SHARE = re.compile(rf"\s*{_NUMBER}\s*/\s*{_NUMBER}(?:\s+(.*))?")
_PERCENT = re.compile(rf"\s*{_NUMBER}\s*%(?:\s+(.*))?")
_IN_TEXT = re.compile(
    r"(?<![\w.,/%-])(?:(?P<percent>\d{1,3}(?:\.\d{1,3})?) ?%"
    r"|(?P<done>\d{1,9}) ?/ ?(?P<total>\d{1,9}))(?![\w/%-]|\.\d)"
)
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_]|[ -/]+[0-~])"
)


class Said(NamedTuple):
    """
    How far a command has come.

    Args:
        done: Units that are done.
        total: Units that there are.
        label: What progresses; None where it does not say so.
        unit: What is counted; None likewise.
    """

    done: float
    total: float
    label: str | None = None
    unit: str | None = None


def read_line(line: bytes) -> Said | None:
    """Return what a line on the descriptor says: `3/7 label`, `45% label`, or an object of JSON."""
    text = line[:LONGEST].decode(errors="replace").strip()
    if text.startswith("{"):
        return _read_json(text)
    if found := _SHARE.fullmatch(text):
        return Said(_number(found[1]), _number(found[2]), _label(found[3]))
    if found := _PERCENT.fullmatch(text):
        return Said(min(100, _number(found[1])), 100, _label(found[2]), "percent")
    return None


def read_text(text: str) -> Said | None:
    """
    Return how far the end of a text says that its writer is; None where it does not.

    Of the last line with `45%` or `12/80` in it, the last of them counts. A date or a path is none.
    """
    for line in reversed(re.split(r"[\r\n]+", text)):
        last = None
        for found in _IN_TEXT.finditer(line):
            if found["percent"] is not None and float(found["percent"]) <= 100:
                last = Said(_number(found["percent"]), 100, unit="percent")
            elif found["total"] is not None and 0 < int(found["total"]) >= int(found["done"]):
                last = Said(int(found["done"]), int(found["total"]))
        if last is not None:
            return last
    return None


class Tail:
    """The end of what was printed."""

    def __init__(self) -> None:
        self._bytes = b""
        self._is_cut = False

    def take(self, data: bytes) -> None:
        """Take what was printed next."""
        self._is_cut = self._is_cut or len(self._bytes) + len(data) > TAIL
        self._bytes = data[-TAIL:] if len(data) >= TAIL else (self._bytes + data)[-TAIL:]

    def text(self) -> str:
        """Return it without what a terminal obeys."""
        text = _ESCAPES.sub("", self._bytes.decode(errors="replace"))
        return text.partition("\n")[2] if self._is_cut and "\n" in text else text

    def lines(self) -> list[str]:
        """Return the last lines as a terminal shows them: of one that was written over, the end."""
        shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in self.text().split("\n")]
        return [line[:WIDTH] for line in shown if line][-LINES:]


def _read_json(text: str) -> Said | None:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    done, total = given.get("done"), given.get("total")
    if done is None and total is None and _is_number(given.get("percent")):
        percent = min(100, given["percent"])
        return Said(percent, 100, _label(given.get("label")), "percent")
    if not _is_number(done) or not _is_number(total):
        return None
    return Said(done, total, _label(given.get("label")), _label(given.get("unit")))


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < 1e15 and math.isfinite(value)


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _label(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    # Half of a surrogate pair, as JSON may write it, is in no event.
    return value.encode(errors="replace").decode().strip()[:WIDTH] or None
