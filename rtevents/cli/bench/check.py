"""What every subscriber must get: each event exactly once, in order, as the same seq."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence

import msgspec

from rtevents.cli.bench.figures import Latencies
from rtevents.cli.bench.subscriber import READ, Subscriber
from rtevents.errors import RteventsError

REMEMBERED = 64
"""Blocks of which it is known what they say."""


class Block(msgspec.Struct, frozen=True):
    """
    Bytes that one subscriber has received, and that others will: the daemon writes the same to all.

    Args:
        count: Entries in it.
        runs: When their events were sent, each with the number of events that were.
    """

    raw: bytes
    count: int
    runs: list[tuple[float, int]]


class Checker:
    """
    Checks what each subscriber gets.

    The first one that gets some bytes has them read; from all others it is enough that theirs, at
    the same place, are equal, which is told a hundred times as fast.

    Args:
        batch: Events that were sent at the same time.
    Attributes:
        sent: When each batch was sent; the publisher's to fill.
        deliveries: Events that subscribers have received.
        last: When the last one was.
        moved: Set when one is received.
    """

    def __init__(self, batch: int) -> None:
        self.sent: list[float] = []
        self.deliveries = 0
        self.last = 0.0
        self.moved = asyncio.Event()
        self.latencies = Latencies()
        self._batch = batch
        self._order = Order()
        self._known: dict[int, Block] = {}

    def take(self, subscriber: Subscriber, data: bytes, at: int) -> int:
        """
        Take a block of what a subscriber has received; see ``Load.subscribe``.

        Raises:
            RteventsError: It is not what must come.
        """
        now = time.perf_counter()
        block = self._known.get(subscriber.received)
        if block is None or not data.startswith(block.raw, at):
            end = subscriber.whole(data, at)
            if end == at:
                return at
            block = self._read(subscriber, data[at:end])
        for sent, count in block.runs:
            self.latencies.add(now - sent, count)
        if block.count:
            subscriber.received += block.count
            self.deliveries += block.count
            self.last = now
            self.moved.set()
        return at + len(block.raw)

    def finish(self, subscribers: Sequence[Subscriber], published: int) -> None:
        """
        Check that every subscriber has got everything.

        Raises:
            RteventsError: One has not.
        """
        for each in subscribers:
            if each.received != published:
                raise RteventsError(
                    f"subscriber {each.number} got {each.received} of {published} events"
                )

    def _read(self, subscriber: Subscriber, raw: bytes) -> Block:
        entries = [(int(seq), int(number)) for seq, number in READ.findall(raw)]
        if not entries:
            subscriber.control(raw)
            return Block(raw, 0, [])
        first = subscriber.received
        self._order.check(subscriber.number, first, entries)
        block = Block(raw, len(entries), self._runs(first, first + len(entries)))
        self._known[first] = block
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return block

    def _runs(self, first: int, stop: int) -> list[tuple[float, int]]:
        runs = []
        while first < stop:
            number = first // self._batch
            end = min(stop, (number + 1) * self._batch)
            runs.append((self.sent[number], end - first))
            first = end
        return runs


class Order:
    """The order of the events, as the first subscriber that got each of them told it."""

    def __init__(self) -> None:
        self._seqs = array("q")

    def check(self, subscriber: int, received: int, entries: Sequence[tuple[int, int]]) -> None:
        """
        Check what a subscriber got after its first `received` events.

        Args:
            entries: The seq and the number of each.
        Raises:
            RteventsError: Something is missing, came twice, or as another seq; the text says what.
        """
        for expected, (seq, number) in enumerate(entries, received):
            who = f"subscriber {subscriber} got event {number}"
            if number < expected:
                raise RteventsError(
                    f"{who} twice, or late: as seq {seq}, after event {expected - 1}"
                )
            if number > expected:
                raise RteventsError(f"{who} as seq {seq} where event {expected} was to come")
            if expected < len(self._seqs):
                if seq != self._seqs[expected]:
                    raise RteventsError(
                        f"{who} as seq {seq}, another one as seq {self._seqs[expected]}"
                    )
            elif self._seqs and seq <= self._seqs[-1]:
                raise RteventsError(f"{who} as seq {seq}, after seq {self._seqs[-1]}")
            else:
                self._seqs.append(seq)
