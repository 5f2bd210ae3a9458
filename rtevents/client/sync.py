"""Client for programs that wait: standard library and core only, quick to import."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

from rtevents.client import calls
from rtevents.client.calls import Call, History, LineAnswer, Object
from rtevents.client.frames import SILENCE, Control, Frame, Place
from rtevents.client.http import Connection
from rtevents.config.paths import find_target
from rtevents.core.event import Entry, Event, Gap, Stored
from rtevents.core.filter import EVERYTHING, Filter
from rtevents.errors import (
    BadInput,
    ConnectionLost,
    EventConflict,
    NotAllowed,
    NotReachable,
    Unavailable,
)

T = TypeVar("T")


class Client:
    """
    Talks to a daemon; used as ``with Client() as client``.

    Args:
        address: Path of the Unix socket, or ``http://host:port``; None for ``$RTEVENTS_URL`` or the
            user's own daemon.
        token: Credential for TCP; None for ``$RTEVENTS_TOKEN``.
        timeout: Seconds that an answer may take.
        retry_for: Seconds for which a publisher that is told ``503`` tries again. That is safe: an
            event has its id from the start.
    """

    def __init__(
        self,
        address: str | Path | None = None,
        *,
        token: str | None = None,
        timeout: float = 10.0,
        retry_for: float = 10.0,
    ) -> None:
        target = find_target()
        self.address = str(address or target.address)
        self._token = token or target.token
        self._timeout = timeout
        self._retry_for = retry_for
        self._kept: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the client opens another when it is used again."""
        if self._kept:
            self._kept.close()
            self._kept = None

    def publish(self, event: Event, *, retry: bool = True) -> Stored:
        """
        Store one event.

        Args:
            retry: Whether to try again when told ``503``; see `retry_for`.
        Raises:
            EventRefused, EventConflict, NotAllowed, Unavailable, NotReachable: What the name says.
        """
        return self.publish_many([event], retry=retry)[0]

    def publish_many(self, events: Sequence[Event], *, retry: bool = True) -> list[Stored]:
        """
        Store events, all or none, at most 1,000.

        Args:
            retry: As for ``publish``.
        Raises:
            EventRefused, EventConflict, NotAllowed, Unavailable, NotReachable: As ``publish``;
                ``index`` says which.
        """
        if not events:
            return []
        try:
            return self._retry(calls.publish(events), retry)
        except EventConflict:
            if all(event.is_dated for event in events):
                raise
            return self._retry(calls.publish(events, again=True), retry)

    def publish_lines(self, lines: Iterable[bytes]) -> Iterator[LineAnswer]:
        """
        Store lines of NDJSON, each for itself; yield what became of each, in order.

        Raises:
            NotAllowed, Unavailable, NotReachable: None of the lines not answered is stored.
        """
        first = 0
        for chunk in calls.chunks(lines):
            if refused := calls.too_long(chunk, first):
                yield refused
            else:
                yield from self._retry(calls.publish_lines(chunk, first))
            first += len(chunk)

    def commit(self, path: Path, revision: str = "HEAD") -> Stored:
        """Have the daemon publish a commit of the repository at `path`."""
        return self._retry(calls.commit(path, revision))[0]

    def history(
        self,
        wanted: Filter = EVERYTHING,
        *,
        since: str | None = None,
        until: str | None = None,
        after: str | None = None,
        limit: int = 100,
        order: str = "asc",
        wait: float = 0.0,
    ) -> History:
        """
        Return a page of what is kept.

        Args:
            since: Where to begin; see ``rtevents docs sse``.
            until: Where to end.
            after: A bookmark to go on from, such as the ``next`` of the page before.
            order: ``asc`` or ``desc``.
            wait: Seconds to wait for growth when there is nothing.
        """
        return self._ask(
            calls.history(
                wanted, since=since, until=until, after=after, limit=limit, order=order, wait=wait
            )
        )

    def find(self, event_id: str) -> Entry:
        """
        Return the event of an id.

        Raises:
            NotFound: None is kept, or none that this client may see.
            BadInput: It can be no event's id.
        """
        try:
            return self._ask(calls.find(event_id))
        except BadInput as error:
            if error.field != "until":
                raise
            raise calls.unknown(event_id) from error

    @overload
    def stream(
        self,
        wanted: Filter = ...,
        *,
        since: str = ...,
        reconnect: bool = ...,
        control: Literal[False] = ...,
    ) -> Iterator[Entry | Gap]: ...

    @overload
    def stream(
        self,
        wanted: Filter = ...,
        *,
        since: str = ...,
        reconnect: bool = ...,
        control: Literal[True],
    ) -> Iterator[Frame]: ...

    def stream(
        self,
        wanted: Filter = EVERYTHING,
        *,
        since: str = "new",
        reconnect: bool = True,
        control: bool = False,
    ) -> Iterator[Frame]:
        """
        Yield entries for ever; it reconnects by itself from the last one, without loss or repeat.

        Args:
            since: Where to begin; see ``rtevents docs sse``.
            reconnect: Whether to come back when the connection is lost.
            control: Whether to yield control frames and heartbeats as well.
        Raises:
            NotReachable: There is no daemon at the first attempt.
            ConnectionLost: The connection is lost and not to be opened again.
        """
        place = Place(since)
        while True:
            reason = "the daemon closed it"
            try:
                for frame in self._frames(wanted, place):
                    if isinstance(frame, Control) and frame.name == "bye":
                        reason = str(frame.fields["reason"])
                    if control or isinstance(frame, Gap) or _is_stored(frame):
                        yield frame
            except (NotReachable, ConnectionLost, Unavailable) as error:
                if not place.has_connected:
                    raise
                reason = str(error)
            pause = place.lost(reason, reconnect=reconnect)
            if control:
                yield Control("lost", {"reason": reason, "retry_after": pause})
            time.sleep(pause)

    def stats(self, log: str | None = None) -> Object:
        """Return the statistics of this moment, of one log: of the main one, if none is named."""
        return self._ask(calls.stats(log))

    def analytics(self, wanted: Filter = EVERYTHING, since: str = "all") -> Object:
        """Return what a stretch of the log says when it is counted."""
        return self._ask(calls.analytics(wanted, since))

    def predictions(self, project: str, paths: Sequence[str], limit: int = 10) -> Object:
        """Return which files of a project are likely to change next, where these changed."""
        return self._ask(calls.predictions(project, paths, limit))

    def status(self) -> Object:
        """Return what the daemon is, where it listens, and how it is."""
        return self._ask(calls.get("/v1/status"))

    def nodes(self) -> Object:
        """Return the daemons that share the log, and the sum of their figures."""
        return self._ask(calls.get("/v1/nodes"))

    def reload(self) -> Object:
        """Have the daemon read its configuration again; return what has changed."""
        return self._ask(calls.post("/v1/reload", {}))

    def connections(self) -> list[Object]:
        """Return every open connection, with its lag."""
        return self._ask(calls.get_list("/v1/connections", "connections"))

    def close_connection(self, connection_id: str) -> None:
        """End a connection."""
        self._ask(calls.delete("/v1/connections", connection_id))

    def projects(self) -> list[Object]:
        """Return what is watched."""
        return self._ask(calls.get_list("/v1/projects", "projects"))

    def add_project(self, path: Path, **settings: Any) -> Object:
        """Watch a folder from now on; `settings` are ``id files git tasks auto_commit ignore``."""
        return self._ask(calls.post("/v1/projects", {"path": str(path), **settings}))

    def remove_project(self, project_id: str) -> None:
        """Watch a project no more."""
        self._ask(calls.delete("/v1/projects", project_id))

    def risk_rules(self) -> list[Object]:
        """Return the rules for risks that are in force."""
        return self._ask(calls.get_list("/v1/risks/rules", "rules"))

    def sinks(self) -> list[Object]:
        """Return every sink, with its lag and what is amiss."""
        return self._ask(calls.get_list("/v1/sinks", "sinks"))

    def dead_letters(self, sink: str) -> Object:
        """Return a sink's oldest dead ``letters``, and as ``total`` how many there are."""
        return self._ask(calls.get(f"{calls.sink_path(sink)}/dead"))

    def replay_letters(self, sink: str, letter_id: str = "") -> int:
        """Have a dead letter, or all, done again; return how many."""
        path = f"{calls.sink_path(sink)}/replay"
        return int((self._ask(calls.post(path, {"id": letter_id})))["count"])

    def discard_letters(self, sink: str, letter_id: str = "") -> int:
        """Forget a dead letter, or all; return how many."""
        path = f"{calls.sink_path(sink)}/discard"
        return int((self._ask(calls.post(path, {"id": letter_id})))["count"])

    def resume_sink(self, sink: str) -> Object:
        """Have a sink that rests try now."""
        return self._ask(calls.post(f"{calls.sink_path(sink)}/resume", {}))

    def types(self) -> list[Object]:
        """Return the event reference."""
        return self._ask(calls.get_list("/v1/types", "types"))

    def add_type(self, name: str, schema: Object | None = None) -> Object:
        """Add an event type of your own."""
        return self._ask(calls.post("/v1/types", {"name": name, "schema": schema}))

    def tokens(self) -> list[Object]:
        """Return every token, without its secret."""
        return self._ask(calls.get_list("/v1/tokens", "tokens"))

    def sessions(self) -> list[Object]:
        """Return every browser that is logged in; ``revoke_token`` ends one."""
        return self._ask(calls.get_list("/v1/tokens", "sessions"))

    def check_token(self) -> Object:
        """Return what this client's credential may do: ``role projects types expires logs``."""
        return self._ask(calls.get("/v1/tokens/self"))

    def create_token(self, role: str, **settings: Any) -> Object:
        """Make a token; `settings` are ``projects types name expires_in`` (seconds)."""
        return self._ask(calls.post("/v1/tokens", {"role": role, **settings}, is_safe=False))

    def revoke_token(self, token_id: str) -> None:
        """Forget a token, and end the streams that it opened."""
        self._ask(calls.delete("/v1/tokens", token_id))

    def ticket(self, **settings: Any) -> Object:
        """Return an address that logs a browser in, once; `role`, `projects`, `types` limit it."""
        return self._ask(calls.post("/v1/tickets", settings, is_safe=False))

    def _retry(self, call: Call[T], retry: bool = True) -> T:
        """Ask, and ask again while the daemon is only busy."""
        deadline = time.monotonic() + (self._retry_for if retry else 0.0)
        while True:
            try:
                return self._ask(call)
            except Unavailable as error:
                if time.monotonic() + error.retry_after > deadline:
                    raise
                time.sleep(error.retry_after)

    def _ask(self, call: Call[T]) -> T:
        if not call.is_safe:
            self.close()  # what was kept may be dead by now, and this is not asked twice
        was_kept = self._kept is not None
        try:
            return self._ask_once(call)
        except ConnectionLost as error:
            if not was_kept:
                raise NotReachable(str(error)) from error
        # The daemon had closed what was kept: once more, then.
        try:
            return self._ask_once(call)
        except ConnectionLost as error:
            raise NotReachable(str(error)) from error

    def _ask_once(self, call: Call[T]) -> T:
        connection = self._kept or self._connect()
        self._kept = None
        seconds = self._timeout + call.wait
        headers = self._headers() | {"Content-Type": call.content_type}
        try:
            response = connection.ask(call.method, call.path, headers, call.body, seconds=seconds)
            body = response.read()
        except TimeoutError as error:
            connection.close()
            raise NotReachable(calls.no_answer(self.address, seconds)) from error
        except OSError as error:
            connection.close()
            raise ConnectionLost(calls.broken(self.address, error)) from error
        if response.can_go_on:
            self._kept = connection
        else:
            connection.close()
        fields = response.fields
        is_lines = fields.get("content-type", "").startswith("application/x-ndjson")
        if response.status >= 400 and not is_lines:
            calls.fail(response.status, fields.get("retry-after"), body)
        return calls.result(call, self.address, body)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _connect(self) -> Connection:
        try:
            return Connection(self.address, self._timeout)
        except PermissionError as error:
            raise NotAllowed(f"not allowed to reach the daemon at {self.address}") from error
        except OSError as error:
            raise NotReachable(calls.no_daemon(self.address, error)) from error

    def _frames(self, wanted: Filter, place: Place) -> Iterator[Frame]:
        """Yield the frames of one connection, until it ends."""
        path = calls.stream_path(wanted, place.since)
        headers = self._headers() | {"Accept": "application/x-ndjson"}
        with contextlib.closing(self._connect()) as connection:
            try:
                response = connection.ask("GET", path, headers, seconds=self._timeout)
                if response.status != 200:
                    after = response.fields.get("retry-after")
                    calls.fail(response.status, after, response.read())
                connection.wait_at_most(SILENCE)
                rest = b""
                for data in response.parts():
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        yield place.read(line)
            except TimeoutError as error:
                raise ConnectionLost(f"no byte for {SILENCE:g} seconds") from error
            except OSError as error:
                raise ConnectionLost(calls.words(error)) from error


def _is_stored(frame: Frame) -> bool:
    return isinstance(frame, Entry) and frame.seq > 0
