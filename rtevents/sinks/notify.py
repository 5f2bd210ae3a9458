"""Messages to people, by way of Apprise: desktop, Slack, e-mail and many others."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar

import msgspec

from rtevents.config.own import read_own
from rtevents.config.paths import expand
from rtevents.config.sinks import NotifySettings
from rtevents.core.event import Entry
from rtevents.errors import ConfigError, ReactionFailed
from rtevents.sinks import Batch

MAX_URLS = 64 * 1024
"""Largest file of addresses, in bytes."""

SHOWN = 10
"""Events that a message tells one by one."""

LONGEST = 200
"""Characters of the line of an event."""

WORDS = ("message", "title", "file_path", "status", "error", "label", "task_id")
"""The fields of `data` that tell what happened, the best first."""


class NotifyReaction:
    """
    Sends one message for each batch, however many events are in it.

    Args:
        urls: Where to, as Apprise writes it.
        title: The first words of each message.
        timeout: Seconds in which it must have been taken.
    """

    at_once: ClassVar[int] = 500
    every: ClassVar[float] = 10.0
    """A person reads one message in so many seconds; what comes meanwhile is told in the next."""

    def __init__(self, urls: Sequence[str], *, title: str, timeout: float) -> None:
        import apprise

        self._title = title
        self._sending: Future[bool] | None = None
        self._timeout = timeout
        # No file, no interpretation: what is told comes from strangers.
        asset = apprise.AppriseAsset(app_id="rtevents", interpret_escapes=False)
        self._apprise: Any = apprise.Apprise(asset=asset)
        for number, url in enumerate(urls):
            if not self._apprise.add(url):
                # Not the address itself: there are secrets in it.
                raise ConfigError(f"Apprise does not know address {number + 1}", field="notify")

    async def act(self, batch: Batch) -> None:
        """Send it to all of them."""
        title, body = f"{self._title}: {digest(batch)}", "\n".join(lines(batch))
        try:
            async with asyncio.timeout(self._timeout):
                # One at a time: what hangs is waited for, or threads would gather.
                if self._sending and not self._sending.done():
                    await asyncio.wait({asyncio.wrap_future(self._sending)})
                self._sending = _aside(partial(self._apprise.notify, body=body, title=title))
                is_sent = await asyncio.wrap_future(self._sending)
        except TimeoutError:
            raise ReactionFailed(f"not taken within {self._timeout:g} s") from None
        if not is_sent:
            raise ReactionFailed("not taken by all of its addresses")

    async def close(self) -> None:
        """Hold nothing open."""


def open_notify(settings: NotifySettings) -> NotifyReaction:
    """
    Return the reaction of a sink.

    Raises:
        ConfigError: There is no address, Apprise does not know it, or is not installed.
    """
    urls = list(settings.urls)
    if settings.urls_file:
        try:
            text = read_own(expand(settings.urls_file), MAX_URLS).decode(errors="replace")
        except FileNotFoundError:
            words = f"notify.urls_file: no such file: {settings.urls_file}"
            raise ConfigError(words, field="notify.urls_file") from None
        found = (line.strip() for line in text.splitlines())
        urls += [line for line in found if line and not line.startswith("#")]
    if not urls:
        raise ConfigError("notify: expected urls, or a urls_file with some", field="notify")
    try:
        return NotifyReaction(urls, title=settings.title, timeout=settings.timeout)
    except ImportError:
        raise ConfigError(
            "notify: needs Apprise: pip install 'rtevents[notify]'", field="notify"
        ) from None
    except ConfigError as error:
        raise ConfigError(f"notify: {error}", field="notify") from error


def _aside(call: Callable[[], bool]) -> Future[bool]:
    """Call it in a thread of its own: one that hangs takes none that others wait for."""
    future: Future[bool] = Future()
    future.set_running_or_notify_cancel()  # who waits no longer does not end it

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - who waits gets it
            future.set_exception(error)

    threading.Thread(target=run, name="rtevents notify", daemon=True).start()
    return future


def digest(batch: Batch) -> str:
    """Return what a batch is, in a few words."""
    if len(batch.entries) == 1:
        entry = batch.entries[0]
        return " ".join(filter(None, [entry.type, entry.project_id]))
    counts = Counter(entry.type for entry in batch.entries).most_common(3)
    return f"{len(batch.entries)} events, " + ", ".join(f"{n} {name}" for name, n in counts)


def lines(batch: Batch) -> list[str]:
    """Return what is told of a batch, the newest last."""
    told = [line_of(entry) for entry in batch.entries[-SHOWN:]]
    if (left := len(batch.entries) - len(told)) > 0:
        told.insert(0, f"… and {left} before")
    if batch.gap is not None:
        told.insert(0, f"events before were lost ({batch.gap.reason})")
    return told


def line_of(entry: Entry) -> str:
    """Return an event in a line, without what could begin another one."""
    data = entry.event.data
    found = [str(data[name]) for name in WORDS if isinstance(data.get(name), str | int)]
    severity = data.get("severity")
    words = [str(severity)] if isinstance(severity, str) else []
    words.append(found[0] if found else msgspec.json.encode(data).decode())
    text = f"{entry.type} {entry.project_id or '-'}: {': '.join(words)}"
    text = "".join(each if each.isprintable() else " " for each in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
