"""Notice: what a sink has to say, to the health and to the log."""

from __future__ import annotations

from collections.abc import Callable

from rtevents.sinks.place import DeadLetters


class Notice:
    """
    What a sink says.

    Args:
        name: The sink.
        dead: Its dead letters: a list that is full loses some, and is amiss as long as it is.
        warn: Told what is amiss, in words; None when that is over.
        tell: Told what happened, in a line.
    """

    def __init__(
        self,
        name: str,
        dead: DeadLetters | None,
        warn: Callable[[str | None], None],
        tell: Callable[[str], None],
    ) -> None:
        self._name = name
        self._dead = dead
        self._warn = warn
        self._tell = tell
        self._amiss: str | None = None
        self._failure = ""

    def amiss(self, text: str | None) -> None:
        """Say what is amiss; None for nothing."""
        self._amiss = text
        self.look()

    def look(self) -> None:
        """Say whether the list of dead letters is full, besides what else is amiss."""
        said = [self._amiss] if self._amiss else []
        if self._dead is not None and self._dead.is_full:
            said.append(
                f"its list of dead letters is full, {len(self._dead)}: each new one drops the "
                f"oldest; rtevents sinks dead {self._name}, then replay or discard"
            )
        self._warn("; ".join(said) or None)

    def tell(self, text: str) -> None:
        """Say what happened."""
        self._tell(f"{self._name}: {text}")

    def failure(self, reason: str) -> None:
        """Say why an attempt failed; what repeats is told once, and then counted."""
        if reason != self._failure:
            self.tell(reason)
        self._failure = reason

    def success(self) -> None:
        """Know that an attempt did not fail."""
        self._failure = ""
        self.amiss(None)
