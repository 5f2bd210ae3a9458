"""What `rtevents publish --stdin` does: each line is an event."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rtevents.cli import options
from rtevents.cli.output import is_terminal, notice, print_json
from rtevents.cli.publish.sending import trace
from rtevents.client.calls import LineAnswer, with_id
from rtevents.client.spool import deliver, keep_line
from rtevents.client.sync import Client
from rtevents.config.paths import find_paths
from rtevents.errors import (
    BadInput,
    ConnectionLost,
    EventRefused,
    NotReachable,
    RteventsError,
    Unavailable,
)

READ_BYTES = 1 << 20
"""Most bytes to take from stdin at once: what is there goes on, without waiting for more."""


def publish_stdin(*, spool: bool) -> None:
    """
    Publish each line as it comes; a refused one is told, the others are stored all the same.

    Args:
        spool: Whether to keep on disk what the daemon cannot take now.
    Raises:
        EventRefused: Some lines were refused.
        NotReachable, Unavailable: The daemon cannot take them; the text says from which line on.
    """
    intake = _Intake(spool=spool)
    with options.client() as client:
        for lines in _lines():
            intake.take(client, lines)
            sys.stdout.flush()
    if is_terminal():
        print(f"{intake.stored} stored, {intake.kept} kept, {intake.refused} refused")
    if intake.refused:
        lines_were = "line was" if intake.refused == 1 else "lines were"
        raise EventRefused(f"{intake.refused} {lines_were} refused")


def _lines() -> Iterator[list[tuple[int, bytes]]]:
    """Yield the lines of stdin as they come, each with its number, those without text left out."""
    rest = b""
    number = 0
    while data := os.read(sys.stdin.fileno(), READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield [(number + at, line) for at, line in enumerate(lines, 1) if line.strip()]
        number += len(lines)
    if rest.strip():
        yield [(number + 1, rest)]


def with_trace(line: bytes, trace: Mapping[str, str]) -> bytes:
    """
    Return a line of JSON as of a trace, unless it has extensions, or is a CloudEvent.

    They go to the end, as the id does.
    """
    head, brace, rest = line.rstrip().rpartition(b"}")
    named = (b'"traceparent"', b'"extensions"', b'"specversion"')
    if not trace or not brace or rest or any(name in line for name in named):
        return line
    comma = b"" if head.rstrip().endswith(b"{") else b","
    return b'%b%b"extensions":%b}' % (head, comma, json.dumps(trace).encode())


class _Intake:
    """Publishes lines, and tells what became of them."""

    def __init__(self, *, spool: bool) -> None:
        self.stored = self.refused = self.kept = 0
        self._trace = trace()
        self._folder = find_paths().spool if spool else None

    def take(self, client: Client, lines: list[tuple[int, bytes]]) -> None:
        """Publish lines; with the spool, keep those that the daemon cannot take now."""
        # An id from the start: what is sent again, or kept, is still the same event.
        lines = [(number, with_id(with_trace(line, self._trace))) for number, line in lines]
        answered = 0
        try:
            if self._folder:
                for wait in deliver(client, self._folder).values():
                    raise wait  # the daemon has them in their order, each log by itself
            for answer in client.publish_lines(line for _, line in lines):
                self._tell(lines[answered][0], answer)
                answered += 1
        except (NotReachable, ConnectionLost, Unavailable) as failure:
            if self._folder is None:
                if lines:
                    notice(f"nothing is stored from line {lines[answered][0]} on")
                raise
            kept_before = self.kept
            self._keep(self._folder, lines[answered:])
            if self.kept and not kept_before:
                notice(f"kept until it can be stored: {failure}")

    def _keep(self, folder: Path, lines: list[tuple[int, bytes]]) -> None:
        for number, line in lines:
            try:
                keep_line(folder, line)
                self.kept += 1
            except (BadInput, EventRefused) as failure:
                self._refuse(number, failure)

    def _tell(self, number: int, answer: LineAnswer) -> None:
        if answer.stored is None:
            self._refuse(number, answer.error)
            return
        self.stored += 1
        if not is_terminal():
            stored = answer.stored
            print_json(
                {"event_id": stored.event_id, "seq": stored.seq, "duplicate": stored.duplicate}
            )

    def _refuse(self, number: int, error: RteventsError | None) -> None:
        self.refused += 1
        notice(f"line {number}: {error}")
