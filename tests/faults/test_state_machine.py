"""Any order of publishing, reading, going, coming back, trimming and crashing, on the daemon."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rtevents.core.event import Bookmark, Entry, Event, Gap
from tests.conftest import Daemon, wait_for
from tests.faults.checker import risk

KEPT = 40
"""Entries that the daemon keeps."""

PLACES = ["all", "new"]


class Reader:
    """One reader, which may go and come back."""

    def __init__(self, daemon: Daemon, since: str, position: int) -> None:
        self._daemon = daemon
        self._frames: Iterator[Any] | None = None
        self.since = since
        self.position = position

    def go(self) -> None:
        """Hang up."""
        if self._frames is not None:
            self._frames.close()  # type: ignore[attr-defined]
        self._frames = None

    def read(self, last: int) -> Iterator[Entry | Gap]:
        """Read on up to a seq, coming back if necessary."""
        if self._frames is None:
            self._frames = self._daemon.client().stream(since=self.since)
        while self.position < last:
            frame = next(self._frames)
            self.position = frame.seq if isinstance(frame, Entry) else frame.before - 1
            yield frame


class Life(RuleBasedStateMachine):
    """What a daemon may live through; beside it, what must be in its log."""

    readers = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self._home = Path(tempfile.mkdtemp(prefix="rth"))
        self._daemon = Daemon(self._home)
        self._numbers = itertools.count()
        self._log: dict[int, Event] = {}
        self._all: list[Reader] = []
        self._start()
        with self._daemon.client() as client:
            self._epoch = client.stats()["log"]["epoch"]

    def _start(self) -> None:
        settings = {"MAX_EVENTS": str(KEPT), "INTERVAL": "0.05"}
        self._daemon.start(env={f"RTEVENTS_RETENTION__{key}": settings[key] for key in settings})

    def teardown(self) -> None:
        for reader in self._all:
            with self._daemon.client() as client:
                assert client.stats()["log"]["epoch"] == self._epoch
            self.read(reader)
            reader.go()
        assert self._daemon.stop() == 0
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def _last(self) -> int:
        return max(self._log, default=0)

    @rule(count=st.integers(1, 60))
    def publish(self, count: int) -> None:
        """Store new events, all or none."""
        events = [risk(f"{n}", event_id=f"e{n}") for n in itertools.islice(self._numbers, count)]
        with self._daemon.client() as client:
            answers = client.publish_many(events)
        assert [answer.seq for answer in answers] == [self._last + n + 1 for n in range(count)]
        self._log |= {answer.seq: event for answer, event in zip(answers, events, strict=True)}

    @precondition(lambda self: self._log)
    @rule(back=st.integers(0, KEPT // 2))
    def publish_again(self, back: int) -> None:
        """What is kept is answered with its seq."""
        seq = max(1, self._last - back)
        with self._daemon.client() as client:
            answer = client.publish(self._log[seq])
        assert (answer.seq, answer.duplicate) == (seq, True)

    @rule(target=readers, place=st.sampled_from(PLACES))
    def come(self, place: str) -> Reader:
        """A new reader: of all, or of what comes."""
        start = self._last if place == "new" else 0
        # Where "new" is, the reader knows when it is told; here that is the log's end.
        since = str(Bookmark(self._epoch, start)) if place == "new" else place
        reader = Reader(self._daemon, since, start)
        self._all.append(reader)
        return reader

    @rule(reader=readers)
    def read(self, reader: Reader) -> None:
        """What is read is the log, without a hole but where it is told."""
        position = reader.position
        for frame in reader.read(self._last):
            if isinstance(frame, Gap):
                # Only what was trimmed may be missing, and no more than that.
                assert position < frame.before <= max(1, self._last - KEPT + 1)
                position = frame.before - 1
                continue
            if not position and reader.since == "all":
                position = frame.seq - 1  # whoever asks for all gets what is kept
            assert frame.seq == position + 1
            told, stored = frame.event, self._log[frame.seq]
            assert (told.event_id, told.data) == (stored.event_id, stored.data)
            position = frame.seq

    @rule(reader=readers)
    def go(self, reader: Reader) -> None:
        """A reader goes, and keeps its place."""
        reader.go()
        if reader.position:
            reader.since = str(Bookmark(self._epoch, reader.position))

    @rule(reader=consumes(readers))
    def leave(self, reader: Reader) -> None:
        """A reader goes for good."""
        reader.go()
        self._all.remove(reader)

    @rule()
    def trim(self) -> None:
        """Wait until no more is kept than shall be."""
        with self._daemon.client() as client:
            wait_for(lambda: client.stats()["log"]["oldest"] > self._last - KEPT, "it is trimmed")

    @rule()
    def crash(self) -> None:
        """Kill it, and start it again; who reads comes back by itself."""
        assert self._daemon.process is not None
        self._daemon.process.kill()
        self._daemon.process.wait()
        self._start()

    @rule()
    def restart(self) -> None:
        """End it, and start it again."""
        assert self._daemon.stop() == 0
        self._start()


def live(examples: int, steps: int) -> None:
    """Let daemons live through so many sequences of so many steps."""
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_every_reader_gets_the_log() -> None:
    live(4, 15)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_whatever_happens_at_length_every_reader_gets_the_log() -> None:
    live(60, 40)
