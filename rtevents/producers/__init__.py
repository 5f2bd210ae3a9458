"""What watches something: one file per thing watched, and the table of them all."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from rtevents.core.event import Event

PRODUCERS = {
    "files": "rtevents.producers.files:FilesProducer",
    "git": "rtevents.producers.git:GitProducer",
}
"""Each producer by the project's setting that switches it on; loaded when it is used."""


class Producer(Protocol):
    """Watches something and yields what happens there."""

    def events(self) -> AsyncGenerator[list[Event], None]:
        """
        Yield batches of events, oldest first, for as long as there is something to watch.

        A batch is stored when the iterator is resumed: that is the time to save one's place.
        """
