"""A webhook: events are posted, signed as Standard Webhooks 1.0 has it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from rtevents import __version__
from rtevents.config.own import read_own
from rtevents.config.paths import expand
from rtevents.config.sinks import WebhookSettings
from rtevents.core.cloudevents import BATCH, STRUCTURED, to_cloudevent
from rtevents.errors import ConfigError, ReactionFailed
from rtevents.sinks import Batch

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read: what it says beyond its status is nobody's business."""

MAX_SECRETS = 4096
"""Largest file of secrets, in bytes."""

AGAIN = (408, 425, 429)
"""Statuses of the 4xx that ask for another attempt: too slow, too early, too many."""

GONE = 410
"""The status of a receiver that wants nothing more, ever."""

OWN = ("connection", "content-length", "content-type", "rtevents-gap", "transfer-encoding")
"""Headers that are its own to say, besides `webhook-…`: twice there, or wrong, they mislead."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class WebhookReaction:
    """
    Posts each batch: one event as an object, several as an array.

    Only a 2xx whose answer is whole is success. The id is the same at each attempt, so that a
    receiver can tell what it has already.

    Args:
        url: Where to.
        secrets: The keys that sign it; none for no signature.
        headers: Further headers.
        is_cloudevents: Whether events go as CloudEvents.
        timeout: Seconds for the whole exchange.
        trust: Which certificates are trusted; None for those of the system.
    """

    at_once: ClassVar[int] = 1
    every: ClassVar[float] = 0.0

    def __init__(
        self,
        url: str,
        *,
        secrets: Sequence[bytes] = (),
        headers: Mapping[str, str],
        is_cloudevents: bool = False,
        timeout: float = 10.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._secrets = secrets
        self._headers = dict(headers)
        self._is_cloudevents = is_cloudevents
        self._timeout = timeout
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def act(self, batch: Batch) -> None:
        """Post it."""
        body, kind = self._body(batch)
        message, now = message_id(batch), int(time.time())
        headers = {
            "User-Agent": f"rtevents/{__version__}",
            **self._headers,
            "Content-Type": kind,
            "webhook-id": message,
            "webhook-timestamp": str(now),
        }
        if self._secrets:
            signed = [signature(secret, message, now, body) for secret in self._secrets]
            headers["webhook-signature"] = " ".join(signed)
        if batch.gap is not None:
            lost = f"{batch.gap.after + 1}-{batch.gap.before - 1}"
            headers["rtevents-gap"] = f"{lost} {batch.gap.reason}"
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await _read_some(response)
                _judge(response)
        except TimeoutError:
            words = f"no answer within {self._timeout:g} s"
            raise ReactionFailed(words, is_down=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ReactionFailed(f"no answer: {_words(error)}", is_down=True) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    def _body(self, batch: Batch) -> tuple[bytes, str]:
        several = len(batch.entries) > 1
        if self._is_cloudevents:
            found = [to_cloudevent(entry) for entry in batch.entries]
            kind = BATCH if several else STRUCTURED
            return msgspec.json.encode(found if several else found[0]), kind
        wires = [entry.wire for entry in batch.entries]
        return b"[%b]" % b",".join(wires) if several else wires[0], "application/json"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, ssl=self._trust or True),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A little would become much (S18).
                auto_decompress=False,
            )
        return self._session


def open_webhook(settings: WebhookSettings) -> WebhookReaction:
    """
    Return the reaction of a sink.

    Raises:
        ConfigError: The address, a header or the secret cannot be used.
    """
    try:
        parts = urlsplit(settings.url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.username is not None:
        raise ConfigError(
            # Not the address itself: there may be secrets in it.
            "webhook.url: expected https://host/… without a user",
            field="webhook.url",
        )
    for name, value in settings.headers.items():
        if not _HEADER.match(name) or any(ord(each) < 32 or ord(each) == 127 for each in value):
            raise ConfigError(f"webhook.headers: not a header: {name!r}", field="webhook.headers")
        if name.lower() in OWN or name.lower().startswith("webhook-"):
            raise ConfigError(
                f"webhook.headers: {name} is not for others to say", field="webhook.headers"
            )
    return WebhookReaction(
        settings.url,
        secrets=_secrets(settings),
        headers=settings.headers,
        is_cloudevents=settings.format == "cloudevents",
        timeout=settings.timeout,
    )


def message_id(batch: Batch) -> str:
    """Return the id of what is sent: the same at each attempt, also after a restart."""
    first, last = batch.entries[0].seq, batch.entries[-1].seq
    # No dot in it: that is what separates what is signed.
    return f"{batch.epoch}-{first}" + (f"-{last}" if last != first else "")


def signature(secret: bytes, message: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message (Standard Webhooks 1.0, symmetric)."""
    signed = b"%b.%d.%b" % (message.encode(), timestamp, body)
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def parse_secret(text: str) -> bytes:
    """
    Return the key that a secret, ``whsec_`` and base64, stands for.

    Raises:
        ConfigError: It is none; what it is instead is not told.
    """
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ConfigError(
            "expected whsec_ and 24 to 64 bytes in base64; make one: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def _secrets(settings: WebhookSettings) -> list[bytes]:
    if settings.secret_file and settings.secret_env:
        raise ConfigError("webhook: expected secret_file or secret_env, got both", field="webhook")
    if settings.secret_file:
        key = "webhook.secret_file"
        try:
            text = read_own(expand(settings.secret_file), MAX_SECRETS).decode("ascii", "replace")
        except FileNotFoundError:
            raise ConfigError(f"{key}: no such file: {settings.secret_file}", field=key) from None
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}", field=key) from error
    elif settings.secret_env:
        key = "webhook.secret_env"
        text = os.environ.get(settings.secret_env, "")
        if not text:
            raise ConfigError(f"{key}: {settings.secret_env} is not set", field=key)
    else:
        return []
    try:
        found = [parse_secret(each) for each in text.split()]
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}", field=key) from error
    if not found:
        raise ConfigError(f"{key}: it holds no secret", field=key)
    return found


async def _read_some(response: aiohttp.ClientResponse) -> None:
    """Read an answer to its end, or until it is too long: then the connection is not used again."""
    size = 0
    while chunk := await response.content.read(MAX_ANSWER):
        size += len(chunk)
        if size >= MAX_ANSWER:
            response.close()
            return


def _words(error: Exception) -> str:
    """Return what went wrong, without the address: there may be secrets in it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", None) or "no reason given"
        return f"its certificate is not trusted: {reason}"
    for kinds, words in _WORDS:
        if isinstance(error, kinds):
            return words
    return getattr(error, "strerror", None) or f"the connection failed ({type(error).__name__})"


_WORDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (aiohttp.InvalidURL, "the url cannot be used"),
    (aiohttp.ClientConnectorDNSError, "the name of its host is not known"),
    (aiohttp.ClientSSLError, "it does not speak TLS, or none that is known here"),
    (aiohttp.ClientResponseError, "what answers there does not speak HTTP/1.1"),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError),
        "the connection was cut",
    ),
)
"""What is said of an error, the narrowest first: aiohttp's own texts have lines and addresses."""


def _judge(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    words = f"the answer is {status}"
    if 300 <= status < 400:
        words += ", a redirect, which is not followed: set the url it names"
    is_final = 400 <= status < 500 and status not in AGAIN
    raise ReactionFailed(
        words,
        is_final=is_final,
        is_gone=status == GONE,
        is_down=not is_final,
        retry_after=retry_after(response.headers.get("Retry-After", "")),
    )


def retry_after(text: str) -> float:
    """Return the seconds that a Retry-After header means (RFC 9110, 10.2.3); 0 for none."""
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
