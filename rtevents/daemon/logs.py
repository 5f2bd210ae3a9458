"""The daemon's log: a line a record, JSON where no person reads it, and no secret in it."""

from __future__ import annotations

import json
import logging
import queue
import re
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener

SECRETS = re.compile(r"rte_[A-Za-z0-9_-]+|(?<=rtevents_)[0-9]+=[^\s;,'\"]+")
"""What opens a door: a token (``rte_…``), a browser's cookie (``rtevents_8473=…``)."""


def start_log(level: str, *, as_json: bool, clean: Callable[[str], str]) -> QueueListener:
    """
    Log to stderr from a thread of its own: a terminal that is held must not hold the daemon.

    Args:
        level: What is told: that and what is graver.
        as_json: Whether each line is a JSON object: ``time level logger message``.
        clean: Makes foreign text safe for a terminal.
    Returns:
        What writes the lines; its ``stop`` writes those that are left.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else TextLines(clean))
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(waiting, handler)
    listener.start()
    # Not basicConfig: it gives the queue a format, and a line would be made twice.
    root = logging.getLogger()
    root.addHandler(QueueHandler(waiting))
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    return listener


def redact(text: str) -> str:
    """Return a text without the secrets in it."""
    return SECRETS.sub("[redacted]", text)


class JsonLines(logging.Formatter):
    """A JSON object a line, in ASCII: no text in a record can begin another line, or steer one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(
            {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                    timespec="milliseconds"
                ),
                "level": record.levelname,
                "logger": record.name,
                "message": redact(super().format(record)),
            }
        )


class TextLines(logging.Formatter):
    """
    A line of text for a person.

    Args:
        clean: Makes what could steer a terminal, or begin another line, visible.
    """

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return self._clean(redact(super().format(record)))
