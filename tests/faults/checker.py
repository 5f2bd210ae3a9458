"""The history checker: what publishers and a subscriber noted, against the log."""

from __future__ import annotations

import itertools
import threading
import time
from types import TracebackType
from typing import Self

from rtevents.client.frames import Control
from rtevents.client.sync import Client
from rtevents.core.event import Entry, Event, Gap
from rtevents.errors import RteventsError, Unavailable
from tests.conftest import PATIENCE, Daemon, wait_for

PUBLISHERS = 8


def risk(text: str, **fields: object) -> Event:
    """Return a RISK_ALERT."""
    data = {"severity": "low", "message": text}
    return Event(**{"type": "RISK_ALERT", "data": data, **fields})  # type: ignore[arg-type]


def everything(client: Client) -> list[Entry]:
    """Return every entry that is kept."""
    found: list[Entry] = []
    page = client.history(limit=1000)
    while page.events:
        found += page.events
        page = client.history(after=str(page.next), limit=1000)
    return found


class Publisher(threading.Thread):
    """
    Publishes until it is told to end, and notes what it was told of each event.

    Attributes:
        acknowledged: The seq of each event that is stored.
        refused: Events that are not, each with the reason.
        unknown: Events whose answer got lost: they may be there or not.
    """

    def __init__(self, daemon: Daemon, name: str, *, size: int = 0) -> None:
        super().__init__(name=name, daemon=True)
        self._daemon = daemon
        self._filling = " " + "x" * size if size else ""
        self.acknowledged: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.is_over = False

    def run(self) -> None:
        """Publish one event after the other."""
        with Client(self._daemon.socket, retry_for=0) as client:
            for number in itertools.count():
                if self.is_over:
                    return
                text = f"{self.name} {number}{self._filling}"
                self._publish(client, risk(text, event_id=f"{self.name}-{number}"))

    def _publish(self, client: Client, event: Event) -> None:
        try:
            self.acknowledged[event.event_id] = client.publish(event).seq
        except Unavailable as error:
            self.refused[event.event_id] = str(error)
        except RteventsError:
            self.unknown.add(event.event_id)
        else:
            return
        time.sleep(0.005)


class Subscriber(threading.Thread):
    """
    Follows the stream across restarts, and notes every frame.

    Attributes:
        entries: Every entry, in the order in which it came.
        epochs: Every log's name that it was told.
        gaps: Where it was told that something is missing.
        failure: Why the stream ended; None while it does not.
    """

    def __init__(self, daemon: Daemon, since: str = "all") -> None:
        super().__init__(name="subscriber", daemon=True)
        self._daemon = daemon
        self._since = since
        self._epoch = ""
        self.entries: list[Entry] = []
        self.epochs: list[str] = []
        self.gaps: list[Gap] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        """Follow until the test ends."""
        try:
            with Client(self._daemon.socket) as client:
                for frame in client.stream(since=self._since, control=True):
                    self._note(frame)
        except RteventsError as error:
            self.failure = error

    def _note(self, frame: Entry | Gap | Control) -> None:
        if isinstance(frame, Entry):
            if frame.seq:  # a heartbeat has none
                self.entries.append(frame)
        elif isinstance(frame, Gap):
            self.gaps.append(frame)
        elif frame.name == "hello":
            epoch = str(frame.fields["bookmark"]).partition("-")[0]
            if epoch not in self.epochs:
                self.epochs.append(epoch)


class History:
    """
    Publishers and a subscriber at work on a daemon while something is done to it.

    Used as ``with History(daemon) as history``; at the end ``check`` compares what they noted.

    Args:
        daemon: It runs.
        publishers: How many publish at once.
        size: Characters that fill each event.
    """

    def __init__(self, daemon: Daemon, *, publishers: int = PUBLISHERS, size: int = 0) -> None:
        self._daemon = daemon
        self.publishers = [Publisher(daemon, f"p{n}", size=size) for n in range(publishers)]
        self.subscriber = Subscriber(daemon)

    def __enter__(self) -> Self:
        for thread in (*self.publishers, self.subscriber):
            thread.start()
        # Who has not been connected yet gives up where nobody answers.
        followed = self.subscriber
        wait_for(lambda: followed.epochs or followed.failure, "the subscriber is connected")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for publisher in self.publishers:
            publisher.is_over = True
        for publisher in self.publishers:
            publisher.join(PATIENCE)

    @property
    def acknowledged(self) -> dict[str, int]:
        """The seq of every event that is stored."""
        return {key: seq for each in self.publishers for key, seq in each.acknowledged.items()}

    @property
    def refused(self) -> dict[str, str]:
        """Every event that was refused, and why."""
        return {key: why for each in self.publishers for key, why in each.refused.items()}

    def check(self) -> list[Entry]:
        """
        Compare what was noted with the log, on a daemon that answers.

        What was acknowledged is there, what was refused is not, what nobody knows at most once;
        every seq is there; the subscriber has got each entry once, in order, and as it is.

        Returns:
            The log.
        """
        with self._daemon.client() as client:
            log = everything(client)
        unknown = {key for each in self.publishers for key in each.unknown}
        stored = {entry.event_id: entry.seq for entry in log if entry.type == "RISK_ALERT"}
        assert self.acknowledged.items() <= stored.items()
        assert stored.keys() <= self.acknowledged.keys() | unknown
        assert not stored.keys() & self.refused.keys()
        assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
        followed = self.subscriber
        wait_for(
            lambda: followed.failure or not log or followed.entries[-1:] == log[-1:],
            "everything is delivered",
        )
        assert followed.failure is None, followed.failure
        assert followed.gaps == []
        assert len(followed.epochs) == 1
        assert [entry.wire for entry in followed.entries] == [entry.wire for entry in log]
        return log
