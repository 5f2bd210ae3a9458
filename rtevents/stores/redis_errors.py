"""What is wrong with a Redis, in one line, and what to do."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from rtevents.stores.redis_place import Place

OTHER_NAME = (62, 64)
"""What OpenSSL calls a certificate of another host, or of another address (`x509_vfy.h`)."""

OTHER_TIME = (9, 10)
"""What it calls one that is not valid yet, or no more."""


def explain(error: Exception, place: Place) -> str:
    """Say in one line what is wrong with a Redis, and what to do."""
    if isinstance(error.__cause__, RedisError):
        # What went wrong while it connected.
        error = error.__cause__
    text = " ".join(str(error).split())[:200]
    if "executing the script can't" in text:
        # Redis 7 does not call it what it is.
        error = NoPermissionError()
    # The name of each error comes behind a client, told at length.
    came = sorted(set(re.findall(r"> - (?:\w+:)?(\w+)", str(error))))
    why = f"; from some there came {', '.join(came)}" if came else ""
    moving = "is just moving this log to another node: try again in a moment"
    late = "does not answer in time"
    if place.is_tls and "connecting" in text:
        # It waits for the rest of a command, as which it takes our first words.
        late += ": if it does not speak TLS, write redis, not rediss"
    kinds: list[tuple[type[Exception], str]] = [
        (AuthenticationError, f"refuses the user or the password: {text}"),
        (
            NoPermissionError,
            f"does not allow this user what a log needs (see: rtevents docs redis): {text}",
        ),
        (OutOfMemoryError, "is full: give it a larger maxmemory, or keep less (`retention`)"),
        (ReadOnlyError, f"takes no writes: {text}"),
        (BusyLoadingError, "is still loading what it had"),
        (MasterNotFoundError, f"{place.master!r} is no master that a sentinel knows{why}"),
        (ClusterDownError, f"has no node for this log: see `redis-cli cluster nodes` ({text})"),
        (TryAgainError, moving),
        (MovedError, moving if place.kind else f"is a cluster: write redis+cluster:// ({text})"),
        (AskError, moving),
        (RedisTimeout, late),
        (TimeoutError, late),
    ]
    for kind, words in kinds:
        if isinstance(error, kind):
            return f"redis at {place} {words}"
    if (unreached := _tls(error, place) or _unreached(error)) is not None:
        return f"redis at {place} {unreached}"
    return f"redis at {place}: {text or type(error).__name__}"


def _tls(error: Exception, place: Place) -> str | None:
    """Say what is wrong with TLS, or its absence; None where it is something else."""
    wrong: BaseException | None = error
    while wrong is not None and not isinstance(wrong, ssl.SSLError | ConnectionResetError):
        wrong = wrong.__cause__ or wrong.__context__
    text = str(error)
    if isinstance(wrong, ssl.SSLCertVerificationError):
        return _certificate(wrong)
    if "CERTIFICATE_REQUIRED" in text or "HANDSHAKE_FAILURE" in text:
        return (
            "wants a certificate from who asks, and we have none: set `tls-auth-clients no` there"
        )
    if isinstance(wrong, ssl.SSLError):
        return f"does not speak TLS as expected ({wrong.reason}): if not at all, write redis://"
    is_cut = isinstance(wrong, ConnectionResetError) or "closed by server" in text
    if is_cut and isinstance(error, RedisConnectionError):
        return "closes the connection" + ("" if place.is_tls else _WANTS_TLS)
    return None


_WANTS_TLS = ": if it wants TLS, write rediss, not redis"


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    """Say why a certificate is not believed, and what to do."""
    why = error.verify_message.rstrip(".")
    if error.verify_code in OTHER_NAME:
        return f"has a certificate of another name: {why}: write a name that it has"
    if error.verify_code in OTHER_TIME:
        return f"has a certificate of another time: {why}: renew it there, or set the clock here"
    return (
        f"has a certificate that is not trusted: {why}: set SSL_CERT_FILE to the file of the "
        "authority that signed it (rtevents docs redis)"
    )


def _unreached(error: Exception) -> str | None:
    """Say why there is no connection, and what to do; None where it is something else."""
    origin = error.__context__
    if not isinstance(error, RedisConnectionError) or not isinstance(origin, OSError):
        return None
    if isinstance(origin, socket.gaierror):
        return "has a name that nobody knows: correct its address, or the DNS here"
    # A name with several addresses: asyncio gives their errors in its text alone.
    found = re.search(r"\[Errno (\d+)\]", str(origin))
    number = origin.errno or (int(found[1]) if found else 0)
    to_do = "start redis-server there, or correct its address"
    if number == errno.ECONNREFUSED:
        return f"refuses the connection, nothing listens there: {to_do}"
    if number == errno.ENOENT:
        return f"has no such socket: {to_do}"
    if number in (errno.EACCES, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return f"cannot be reached: {os.strerror(number)}"
    return None
