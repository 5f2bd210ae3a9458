"""What a client asks and how the answers are read: no I/O, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from rtevents.core.event import (
    MAX_EVENT_BYTES,
    NOT_JSON,
    Bookmark,
    Entry,
    Event,
    Gap,
    Stored,
    decode_entry,
)
from rtevents.core.filter import Filter
from rtevents.core.names import is_event_id, new_event_id
from rtevents.errors import (
    BadInput,
    EventConflict,
    EventRefused,
    EventTooLarge,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotReachable,
    RteventsError,
    Taken,
    Throttled,
    Unavailable,
)

LINES = 500
"""Lines of NDJSON that go into one request: as many as the daemon stores together."""

LINES_BYTES = 8 * 1024 * 1024
"""Bytes of NDJSON after which a request is full: half of what the daemon takes."""

T = TypeVar("T")

Object = dict[str, Any]


class Call(msgspec.Struct, Generic[T]):
    """
    One request.

    Args:
        read: Makes the result of the answer's body.
        wait: Seconds that the daemon may take on purpose, for a long poll.
        is_safe: Whether asking twice is as good as once.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    content_type: str = "application/json"
    wait: float = 0.0
    is_safe: bool = True


class History(msgspec.Struct, frozen=True):
    """
    A page of what is kept.

    Args:
        events: The entries, in the order asked for.
        next: The bookmark to go on from: with `after`, or newest first with `until`.
        oldest: The first seq that is kept; of several logs, that of `next` if there is more.
        newest: The last one; of several logs, that of `next` and how many come after it.
        gap: What is missing where the page was to begin; None when nothing is.
        until: Newest first, the bookmark from which the page goes down.
        gaps: Everything that is missing: of several logs each may have a gap.
    """

    events: list[Entry]
    next: Bookmark
    oldest: int
    newest: int
    gap: Gap | None = None
    until: Bookmark | None = None
    gaps: list[Gap] = []

    def of_one_log(self) -> History:
        """
        Return the page itself, to who compares its seqs.

        Raises:
            BadInput: It is of several logs, of which each has seqs of its own.
        """
        if "," in self.next.epoch:
            raise BadInput(
                "these events are in several logs, and are read from one: name it (--log), or its "
                "projects (--project)",
                field="log",
            )
        return self


class LineAnswer(msgspec.Struct, frozen=True):
    """
    What became of one line of NDJSON: `stored`, or the `error`.

    Args:
        line: Which line, from 0.
    """

    line: int
    stored: Stored | None = None
    error: RteventsError | None = None


def publish(events: Sequence[Event], *, again: bool = False) -> Call[list[Stored]]:
    """
    Store events, all or none.

    Args:
        again: Whether an id is there already. What nobody gave a time is then sent without one, so
            that the time of its making does not make it another event (promise P3).
    """
    bodies = [_undated(event) if again and not event.is_dated else event.body for event in events]
    body = bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"
    return Call("POST", "/v1/events", _stored, body)


def _undated(event: Event) -> bytes:
    """Return an event as its publisher gave it: without a time."""
    fields = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
    del fields["timestamp"]
    return msgspec.json.encode(fields)


def with_id(line: bytes) -> bytes:
    """
    Return a line of JSON with an ``event_id``, so that sending it again is the same event.

    The id goes to the end: a place that an error names is a place in the line as it was given.
    """
    head, brace, rest = line.rstrip().rpartition(b"}")
    if not brace or rest or b'"event_id"' in line:
        return line
    comma = "" if head.rstrip().endswith(b"{") else ","
    return head + f'{comma}"event_id":"{new_event_id()}"}}'.encode()


def chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines that have text, as many together as one request takes."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if not line.strip():
            continue
        if len(chunk) == LINES or (chunk and size + len(line) > LINES_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(with_id(line.rstrip(b"\r\n")))
        size += len(line)
    if chunk:
        yield chunk


def too_long(chunk: Sequence[bytes], first: int) -> LineAnswer | None:
    """Return the answer to a line that no request can hold, which is alone in its chunk."""
    if len(chunk[0]) <= LINES_BYTES:
        return None
    text = f"event of {len(chunk[0])} bytes, {MAX_EVENT_BYTES} at most"
    return LineAnswer(first, error=EventTooLarge(text))


def publish_lines(lines: Sequence[bytes], first: int) -> Call[list[LineAnswer]]:
    """Store lines of NDJSON, each for itself; `first` is the number of the first one."""

    def read(body: bytes) -> list[LineAnswer]:
        answers = [
            _line_answer(first + number, line) for number, line in enumerate(body.splitlines())
        ]
        for answer in answers:
            # The lines have ids: sending all of them again stores none twice.
            if isinstance(answer.error, Unavailable):
                raise answer.error
        return answers

    return Call("POST", "/v1/events", read, b"\n".join(lines), "application/x-ndjson")


def commit(path: Path, revision: str) -> Call[list[Stored]]:
    """Have the daemon publish a commit of the repository at `path`."""
    return _post("/v1/commits", {"path": str(path), "revision": revision}, _stored)


def history(
    wanted: Filter,
    *,
    since: str | None = None,
    until: str | None = None,
    after: str | None = None,
    limit: int = 100,
    order: str = "asc",
    wait: float = 0.0,
) -> Call[History]:
    """Ask for a page of what is kept."""
    query = [*wanted.as_query(), ("limit", str(limit)), ("order", order)]
    given = {"since": since, "until": until, "after": after, "wait": str(wait) if wait else None}
    query += [(name, value) for name, value in given.items() if value]
    return Call("GET", f"/v1/events?{urlencode(query)}", _history, wait=wait)


def find(event_id: str) -> Call[Entry]:
    """Ask for the event of an id."""
    from rtevents.core.since import parse_since

    def read(body: bytes) -> Entry:
        found = _history(body).events
        if not found or found[0].event_id != event_id:
            raise unknown(event_id)
        return found[0]

    if not is_event_id(event_id):
        raise BadInput(f"not an event id: {event_id[:80]!r}", field="event_id")
    query = {"order": "desc", "limit": "1"}
    if parse_since(event_id).event_id is None:  # it looks like a time, for example
        query["where"] = f'event_id == "{event_id}"'
    else:
        query["until"] = event_id
    return Call("GET", f"/v1/events?{urlencode(query)}", read)


def unknown(event_id: str) -> NotFound:
    """Return the error for an id that no event has, or none that may be seen."""
    return NotFound(f"no event {event_id[:128]!r} is kept")


def get(path: str) -> Call[Object]:
    """Ask for an object."""
    return Call("GET", path, _object)


def stats(log: str | None) -> Call[Object]:
    """Ask for the statistics of one log; None for the main one."""
    return get("/v1/stats" if log is None else f"/v1/stats?log={quote(log, safe='')}")


def get_list(path: str, name: str) -> Call[list[Object]]:
    """Ask for the list `name` of an object."""
    return Call("GET", path, lambda body: list(_object(body)[name]))


def post(path: str, fields: Object, *, is_safe: bool = True) -> Call[Object]:
    """Send an object, get one."""
    call = _post(path, fields, _object)
    call.is_safe = is_safe
    return call


def delete(path: str, name: str) -> Call[None]:
    """Remove what is called `name`."""
    return Call("DELETE", f"{path}/{quote(name, safe='')}", lambda body: None)


def sink_path(sink: str) -> str:
    """Return the path of a sink."""
    return f"/v1/sinks/{quote(sink, safe='')}"


def stream_path(wanted: Filter, since: str) -> str:
    """Return the path and the query of a stream."""
    return f"/v1/events/stream?{urlencode([*wanted.as_query(), ('since', since)])}"


def analytics(wanted: Filter, since: str) -> Call[Object]:
    """Count what the log says."""
    return get(f"/v1/analytics?{urlencode([*wanted.as_query(), ('since', since)])}")


def predictions(project: str, paths: Sequence[str], limit: int) -> Call[Object]:
    """Ask which files are likely to change next."""
    query = [("project", project), ("limit", str(limit)), *(("path", path) for path in paths)]
    return get(f"/v1/predictions?{urlencode(query)}")


def fail(status: int, retry_after: str | None, body: bytes) -> NoReturn:
    """
    Raise what an answer that is no success means.

    Args:
        retry_after: Its ``Retry-After`` header.
    Raises:
        RteventsError: The class that its status stands for, with the daemon's own words.
    """
    try:
        fields = _object(body)
    except NOT_JSON:
        fields = {}
    fields.setdefault("detail", f"the daemon answered {status}")
    fields["status"] = status
    error = problem_error(fields)
    if isinstance(error, Unavailable) and retry_after and retry_after.isdigit():
        error.retry_after = float(retry_after)
    raise error


def result(call: Call[T], address: str, body: bytes) -> T:
    """
    Return what a successful answer holds.

    Raises:
        NotReachable: It is not one of a daemon's.
    """
    try:
        return call.read(body)
    except NOT_JSON as error:
        raise NotReachable(f"what answers at {address} is no daemon") from error


def no_daemon(address: str, error: Exception | None = None) -> str:
    """Return the words for an address at which nobody listens, or nobody who is trusted."""
    if reason := getattr(error, "verify_message", None):  # an ssl.SSLCertVerificationError
        return (
            f"the certificate of {address} is not trusted: {reason}; "
            "SSL_CERT_FILE names the file of those to trust"
        )
    return f"no daemon at {address}: start one with: rtevents serve"


def no_answer(address: str, seconds: float) -> str:
    """Return the words for a daemon that takes a request and stays silent."""
    return f"no answer from {address} within {seconds:g} s"


def broken(address: str, error: Exception) -> str:
    """Return the words for an answer that did not come to its end."""
    return f"no answer from {address}: {words(error)}"


def words(error: Exception) -> str:
    """Return what a foreign error says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def problem_error(fields: Object) -> RteventsError:
    """Return the error that a problem (RFC 9457) tells of."""
    text, status = str(fields.get("detail", "")), fields.get("status")
    if status == 409 and "event_id" in fields:
        return EventConflict(fields["event_id"], fields["seq"], index=fields.get("index"))
    if status in (400, 405, 415, 421):
        return BadInput(text, index=fields.get("index"), field=fields.get("field"))
    if status in (413, 422):
        kind = EventTooLarge if status == 413 else EventRefused
        return kind(text, index=fields.get("index"), field=fields.get("field"))
    return _STATUSES.get(status or 0, RteventsError)(text)


_STATUSES: dict[int, type[RteventsError]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Taken,
    429: Throttled,
    # A proxy in front of a daemon that is not there now.
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def _post(path: str, fields: Object, read: Callable[[bytes], T]) -> Call[T]:
    body = msgspec.json.encode({name: v for name, v in fields.items() if v is not None})
    return Call("POST", path, read, body)


def _object(body: bytes) -> Object:
    return msgspec.json.decode(body, type=dict[str, Any]) if body else {}


class _Stored(msgspec.Struct):
    events: list[Stored]


class _History(msgspec.Struct):
    events: list[msgspec.Raw]
    next: str
    oldest: int
    newest: int
    gap: Gap | None = None
    gaps: list[Gap] = []
    until: str | None = None


def _stored(body: bytes) -> list[Stored]:
    return msgspec.json.decode(body, type=_Stored).events


def _history(body: bytes) -> History:
    page = msgspec.json.decode(body, type=_History)
    return History(
        [decode_entry(bytes(raw)) for raw in page.events],
        Bookmark.parse(page.next),
        page.oldest,
        page.newest,
        page.gap,
        Bookmark.parse(page.until) if page.until else None,
        page.gaps or ([page.gap] if page.gap else []),
    )


def _line_answer(number: int, line: bytes) -> LineAnswer:
    fields = _object(line)
    if "status" in fields:
        return LineAnswer(number, error=problem_error(fields))
    return LineAnswer(number, stored=msgspec.convert(fields, Stored))
