"""Client for programs on asyncio, by aiohttp: the same names as `sync`, to be awaited."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

import aiohttp

from rtevents.client import calls
from rtevents.client.calls import Call, History, LineAnswer, Object
from rtevents.client.frames import SILENCE, Control, Frame, Place
from rtevents.client.http import PORT, split
from rtevents.config.paths import find_target
from rtevents.core.event import Entry, Event, Gap, Stored
from rtevents.core.filter import EVERYTHING, Filter
from rtevents.errors import (
    BadInput,
    ConnectionLost,
    EventConflict,
    NotAllowed,
    NotReachable,
    RteventsError,
    Unavailable,
)

T = TypeVar("T")


class Client:
    """
    Talks to a daemon; used as ``async with Client() as client``.

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
        self._session: aiohttp.ClientSession | None = None
        self._base = _base(self.address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client opens others when it is used again."""
        if self._session:
            await self._session.close()
            self._session = None

    async def publish(self, event: Event, *, retry: bool = True) -> Stored:
        """
        Store one event.

        Args:
            retry: Whether to try again when told ``503``; see `retry_for`.
        Raises:
            EventRefused, EventConflict, NotAllowed, Unavailable, NotReachable: What the name says.
        """
        return (await self.publish_many([event], retry=retry))[0]

    async def publish_many(self, events: Sequence[Event], *, retry: bool = True) -> list[Stored]:
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
            return await self._retry(calls.publish(events), retry)
        except EventConflict:
            if all(event.is_dated for event in events):
                raise
            return await self._retry(calls.publish(events, again=True), retry)

    async def publish_lines(self, lines: Iterable[bytes]) -> AsyncIterator[LineAnswer]:
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
                for answer in await self._retry(calls.publish_lines(chunk, first)):
                    yield answer
            first += len(chunk)

    async def commit(self, path: Path, revision: str = "HEAD") -> Stored:
        """Have the daemon publish a commit of the repository at `path`."""
        return (await self._retry(calls.commit(path, revision)))[0]

    async def history(
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
        return await self._ask(
            calls.history(
                wanted, since=since, until=until, after=after, limit=limit, order=order, wait=wait
            )
        )

    async def find(self, event_id: str) -> Entry:
        """
        Return the event of an id.

        Raises:
            NotFound: None is kept, or none that this client may see.
            BadInput: It can be no event's id.
        """
        try:
            return await self._ask(calls.find(event_id))
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
    ) -> AsyncGenerator[Entry | Gap, None]: ...

    @overload
    def stream(
        self,
        wanted: Filter = ...,
        *,
        since: str = ...,
        reconnect: bool = ...,
        control: Literal[True],
    ) -> AsyncGenerator[Frame, None]: ...

    async def stream(
        self,
        wanted: Filter = EVERYTHING,
        *,
        since: str = "new",
        reconnect: bool = True,
        control: bool = False,
    ) -> AsyncGenerator[Frame, None]:
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
                # Closing the stream closes the connection at once, not when it is collected.
                async with aclosing(self._frames(wanted, place)) as frames:
                    async for frame in frames:
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
            await asyncio.sleep(pause)

    async def stats(self, log: str | None = None) -> Object:
        """Return the statistics of this moment, of one log: of the main one, if none is named."""
        return await self._ask(calls.stats(log))

    async def analytics(self, wanted: Filter = EVERYTHING, since: str = "all") -> Object:
        """Return what a stretch of the log says when it is counted."""
        return await self._ask(calls.analytics(wanted, since))

    async def predictions(self, project: str, paths: Sequence[str], limit: int = 10) -> Object:
        """Return which files of a project are likely to change next, where these changed."""
        return await self._ask(calls.predictions(project, paths, limit))

    async def status(self) -> Object:
        """Return what the daemon is, where it listens, and how it is."""
        return await self._ask(calls.get("/v1/status"))

    async def nodes(self) -> Object:
        """Return the daemons that share the log, and the sum of their figures."""
        return await self._ask(calls.get("/v1/nodes"))

    async def reload(self) -> Object:
        """Have the daemon read its configuration again; return what has changed."""
        return await self._ask(calls.post("/v1/reload", {}))

    async def connections(self) -> list[Object]:
        """Return every open connection, with its lag."""
        return await self._ask(calls.get_list("/v1/connections", "connections"))

    async def close_connection(self, connection_id: str) -> None:
        """End a connection."""
        await self._ask(calls.delete("/v1/connections", connection_id))

    async def projects(self) -> list[Object]:
        """Return what is watched."""
        return await self._ask(calls.get_list("/v1/projects", "projects"))

    async def add_project(self, path: Path, **settings: Any) -> Object:
        """Watch a folder from now on; `settings` are ``id files git tasks auto_commit ignore``."""
        return await self._ask(calls.post("/v1/projects", {"path": str(path), **settings}))

    async def remove_project(self, project_id: str) -> None:
        """Watch a project no more."""
        await self._ask(calls.delete("/v1/projects", project_id))

    async def risk_rules(self) -> list[Object]:
        """Return the rules for risks that are in force."""
        return await self._ask(calls.get_list("/v1/risks/rules", "rules"))

    async def sinks(self) -> list[Object]:
        """Return every sink, with its lag and what is amiss."""
        return await self._ask(calls.get_list("/v1/sinks", "sinks"))

    async def dead_letters(self, sink: str) -> Object:
        """Return a sink's oldest dead ``letters``, and as ``total`` how many there are."""
        return await self._ask(calls.get(f"{calls.sink_path(sink)}/dead"))

    async def replay_letters(self, sink: str, letter_id: str = "") -> int:
        """Have a dead letter, or all, done again; return how many."""
        path = f"{calls.sink_path(sink)}/replay"
        return int((await self._ask(calls.post(path, {"id": letter_id})))["count"])

    async def discard_letters(self, sink: str, letter_id: str = "") -> int:
        """Forget a dead letter, or all; return how many."""
        path = f"{calls.sink_path(sink)}/discard"
        return int((await self._ask(calls.post(path, {"id": letter_id})))["count"])

    async def resume_sink(self, sink: str) -> Object:
        """Have a sink that rests try now."""
        return await self._ask(calls.post(f"{calls.sink_path(sink)}/resume", {}))

    async def types(self) -> list[Object]:
        """Return the event reference."""
        return await self._ask(calls.get_list("/v1/types", "types"))

    async def add_type(self, name: str, schema: Object | None = None) -> Object:
        """Add an event type of your own."""
        return await self._ask(calls.post("/v1/types", {"name": name, "schema": schema}))

    async def tokens(self) -> list[Object]:
        """Return every token, without its secret."""
        return await self._ask(calls.get_list("/v1/tokens", "tokens"))

    async def sessions(self) -> list[Object]:
        """Return every browser that is logged in; ``revoke_token`` ends one."""
        return await self._ask(calls.get_list("/v1/tokens", "sessions"))

    async def check_token(self) -> Object:
        """Return what this client's credential may do: ``role projects types expires logs``."""
        return await self._ask(calls.get("/v1/tokens/self"))

    async def create_token(self, role: str, **settings: Any) -> Object:
        """Make a token; `settings` are ``projects types name expires_in`` (seconds)."""
        return await self._ask(calls.post("/v1/tokens", {"role": role, **settings}, is_safe=False))

    async def revoke_token(self, token_id: str) -> None:
        """Forget a token, and end the streams that it opened."""
        await self._ask(calls.delete("/v1/tokens", token_id))

    async def ticket(self, **settings: Any) -> Object:
        """Return an address that logs a browser in, once; `role`, `projects`, `types` limit it."""
        return await self._ask(calls.post("/v1/tickets", settings, is_safe=False))

    async def _retry(self, call: Call[T], retry: bool = True) -> T:
        """Ask, and ask again while the daemon is only busy."""
        now = asyncio.get_running_loop().time
        deadline = now() + (self._retry_for if retry else 0.0)
        while True:
            try:
                return await self._ask(call)
            except Unavailable as error:
                if now() + error.retry_after > deadline:
                    raise
                await asyncio.sleep(error.retry_after)

    async def _ask(self, call: Call[T]) -> T:
        # A connection that was kept open may have been closed by the daemon: once more, then.
        try:
            return await self._ask_once(call)
        except ConnectionLost as error:
            if not call.is_safe:
                raise NotReachable(str(error)) from error
        try:
            return await self._ask_once(call)
        except ConnectionLost as error:
            raise NotReachable(str(error)) from error

    async def _ask_once(self, call: Call[T]) -> T:
        seconds = self._timeout + call.wait
        try:
            async with self._open().request(
                call.method,
                self._base + call.path,
                # As a file: aiohttp warns of more than a megabyte of bytes at once.
                data=io.BytesIO(call.body) if call.body is not None else None,
                headers={"Content-Type": call.content_type},
                timeout=aiohttp.ClientTimeout(total=seconds),
                # No daemon redirects, and no other address is to be told the token.
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise self._not_connected(error) from error
        except TimeoutError as error:
            raise NotReachable(calls.no_answer(self.address, seconds)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(f"no answer from {self.address}: {_words(error)}") from error
        is_lines = response.content_type == "application/x-ndjson"
        if response.status >= 400 and not is_lines:
            calls.fail(response.status, response.headers.get("Retry-After"), body)
        return calls.result(call, self.address, body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._base.startswith("https:"):
                import ssl

                # A context of its own: aiohttp's does not see SSL_CERT_FILE when that is set late.
                connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context())
            elif "://" in self.address:
                connector = aiohttp.TCPConnector(limit=0)
            else:
                connector = aiohttp.UnixConnector(self.address, limit=0)
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self._session

    def _not_connected(self, error: aiohttp.ClientConnectorError) -> RteventsError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return NotReachable(calls.no_daemon(self.address, error.certificate_error))
        if isinstance(error.os_error, PermissionError):
            return NotAllowed(f"not allowed to reach the daemon at {self.address}")
        return NotReachable(calls.no_daemon(self.address))

    async def _frames(self, wanted: Filter, place: Place) -> AsyncGenerator[Frame, None]:
        """Yield the frames of one connection, until it ends."""
        url = self._base + calls.stream_path(wanted, place.since)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE)
        headers = {"Accept": "application/x-ndjson"}
        try:
            async with self._open().get(
                url, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    after = response.headers.get("Retry-After")
                    calls.fail(response.status, after, await response.read())
                rest = b""
                async for data in response.content.iter_any():
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        yield place.read(line)
        except aiohttp.ClientConnectorError as error:
            raise self._not_connected(error) from error
        except TimeoutError as error:
            raise ConnectionLost(f"no byte for {SILENCE:g} seconds") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(_words(error)) from error


def _is_stored(frame: Frame) -> bool:
    return isinstance(frame, Entry) and frame.seq > 0


def _words(error: Exception) -> str:
    """Return what went wrong as the client of ``sync.py`` says it: aiohttp's texts have lines."""
    if isinstance(error, aiohttp.ClientResponseError):
        return "what answers there does not speak HTTP/1.1"
    cut = (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError)
    if isinstance(error, cut):
        return "it was cut"
    return getattr(error, "strerror", None) or f"the connection failed ({type(error).__name__})"


def _base(address: str) -> str:
    if "://" not in address:
        return "http://localhost"
    parts = split(address)
    return f"{parts.scheme}://{parts.netloc}{'' if parts.port else f':{PORT}'}"
