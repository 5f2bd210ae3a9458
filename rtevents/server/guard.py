"""Who may come in, and what they may do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from rtevents.core.filter import INCLUDES, OWNER, Grant
from rtevents.core.keep import load, save
from rtevents.errors import BadInput, NotAllowed, NotAuthenticated, NotFound, RteventsError

TICKET_SECONDS = 30.0
"""How long a browser's ticket is good for, in seconds."""

SESSION_SECONDS = 30 * 86400.0
"""How long a browser stays logged in, in seconds."""

BROWSER = Grant(role="browser")
"""What the owner's browser may do: look at everything, publish nothing."""


class Misdirected(RteventsError):  # noqa: N818 - named for the reader's situation
    """The request was meant for another host (RFC 9110, section 15.5.20)."""


class Asking(Protocol):
    """What is looked at of a request: aiohttp's has it all."""

    @property
    def transport(self) -> asyncio.BaseTransport | None:
        """Where it came from."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, their names in title case or in any."""

    @property
    def method(self) -> str:
        """Its method."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """Its cookies."""


class Principal(msgspec.Struct, frozen=True):
    """
    Who makes a request.

    Args:
        name: ``local:<uid>``, ``token:<id>`` or ``browser:<id>``.
        grant: What it may see and do.
        pid: Its process, when the Unix socket told; None otherwise.
    """

    name: str
    grant: Grant
    pid: int | None = None


class Token(msgspec.Struct, kw_only=True):
    """
    A token as it is kept: the secret only as its hash.

    Args:
        id: Its public name.
        digest: SHA-256 of the whole token, in hexadecimal.
        role: One of ``owner admin publisher viewer``.
        created_at: Unix seconds.
        expires: Unix seconds; None for never.
    """

    id: str
    digest: str
    role: str
    projects: list[str] = []
    types: list[str] = []
    name: str = ""
    created_at: float
    expires: float | None = None

    @property
    def grant(self) -> Grant:
        """What its bearer may see and do."""
        sets = {"projects": self.projects, "types": self.types}
        return Grant(
            role=self.role,
            expires=self.expires,
            **{name: frozenset(values) for name, values in sets.items() if values},
        )


class Tokens:
    """
    The tokens of a daemon, kept in one file.

    Args:
        file: Where they are kept; written whole, synced and renamed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tokens = {token.id: token for token in load(file, list[Token], [])}
        self.version = 0
        """Another one whenever a token comes or goes: what was found before may be wrong."""

    def create(
        self,
        role: str,
        *,
        projects: Iterable[str] = (),
        types: Iterable[str] = (),
        name: str = "",
        expires_in: float | None = None,
    ) -> tuple[Token, str]:
        """
        Make a token.

        Args:
            expires_in: Seconds; None for never.
        Returns:
            What is kept, and the secret ``rte_…``, which is told this once.
        Raises:
            BadInput: There is no such role.
        """
        if role not in ROLES:
            raise BadInput(f"role: expected one of {', '.join(ROLES)}, got {role!r}", field="role")
        token_id = secrets.token_hex(4)
        secret = f"rte_{token_id}_{secrets.token_urlsafe(32)}"
        token = Token(
            id=token_id,
            digest=_digest(secret),
            role=role,
            projects=sorted(projects),
            types=sorted(types),
            name=name,
            created_at=time.time(),
            expires=None if expires_in is None else time.time() + expires_in,
        )
        self._tokens[token_id] = token
        self._save()
        return token, secret

    def all(self) -> list[Token]:
        """Return what is kept of every token, the oldest first."""
        return list(self._tokens.values())

    def revoke(self, token_id: str) -> None:
        """
        Forget a token.

        Raises:
            NotFound: There is none of that id.
        """
        if self._tokens.pop(token_id, None) is None:
            raise NotFound(f"no token {token_id[:40]!r}")
        self._save()

    def find(self, secret: str) -> Token:
        """
        Return the token of a secret.

        Raises:
            NotAuthenticated: Nobody knows it, or it has expired.
        """
        parts = secret.split("_", 2)
        token = self._tokens.get(parts[1]) if len(parts) == 3 else None
        if token is None or not hmac.compare_digest(token.digest, _digest(secret)):
            raise NotAuthenticated("the token is not known here")
        if token.expires is not None and token.expires <= time.time():
            raise NotAuthenticated("the token has expired")
        return token

    def _save(self) -> None:
        self.version += 1
        save(self._file, self.all())


class Guard:
    """
    Decides who makes a request and whether it may.

    Args:
        tokens: The tokens that are known.
        sessions: The file in which browsers' sessions are kept: a page that is open comes back by
            itself after a restart. None keeps them in memory.
        hosts: Further hosts, as ``name:port``, under which the daemon may be reached.
    """

    def __init__(
        self, tokens: Tokens, *, sessions: Path | None = None, hosts: Iterable[str] = ()
    ) -> None:
        self.tokens = tokens
        self._hosts = {host.lower() for host in hosts}
        self._port = 0
        # Digest of the secret -> when it ends: tickets by a clock that is never set, sessions in
        # unix seconds, since they outlive the process.
        self._tickets: dict[str, float] = {}
        self._file = sessions
        self._sessions = load(sessions, dict[str, float], {}) if sessions else {}

    def listen(self, port: int) -> None:
        """Know the TCP port on which browsers come."""
        self._port = port
        self._hosts |= {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    @property
    def cookie(self) -> str:
        """The cookie's name: cookies are shared by all ports of a host, so it carries the port."""
        return f"rtevents_{self._port}"

    def identify(self, request: Asking, *, is_public: bool = False) -> Principal:
        """
        Return who makes a request.

        Args:
            is_public: Whether the route wants no credential.
        Raises:
            NotAllowed: The peer is another user, or the page that asks is another site's.
            NotAuthenticated: No credential, or none that is known.
            Misdirected: The Host header names another host (DNS rebinding, S1).
        """
        opened = request.transport.get_extra_info("socket") if request.transport else None
        if opened is not None and opened.family == socket.AF_UNIX:
            return _peer(opened)
        self._check_host(request)
        self._check_site(request, is_page=is_public)
        if is_public:
            return Principal("anonymous", Grant(role="anonymous"))
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self.tokens.find(secret.strip())
            return Principal(f"token:{token.id}", token.grant)
        # A browser says with every WebSocket where it comes from, and has to (S2).
        is_silent = "Upgrade" in request.headers and "Origin" not in request.headers
        if not is_silent and (cookie := request.cookies.get(self.cookie)):
            return self._session(cookie)
        raise NotAuthenticated(
            "no credential: send `Authorization: Bearer rte_…` (rtevents token create), "
            "or open the dashboard with: rtevents dashboard"
        )

    def ticket(self) -> str:
        """Return a secret that logs a browser in, once, within ``TICKET_SECONDS``."""
        secret = secrets.token_urlsafe(32)
        self._tickets = _alive(self._tickets, time.monotonic())
        self._tickets[_digest(secret)] = time.monotonic() + TICKET_SECONDS
        return secret

    def log_in(self, ticket: str) -> str:
        """
        Exchange a ticket for the secret of a browser's session.

        Raises:
            NotAuthenticated: The ticket is used, too old, or never was.
        """
        if self._tickets.pop(_digest(ticket), 0.0) <= time.monotonic():
            raise NotAuthenticated("the ticket is used or too old: run rtevents dashboard again")
        secret = secrets.token_urlsafe(32)
        self._sessions = _alive(self._sessions, time.time())
        self._sessions[_digest(secret)] = time.time() + SESSION_SECONDS
        if self._file:
            save(self._file, self._sessions)
        return secret

    def _session(self, secret: str) -> Principal:
        digest = _digest(secret)
        if self._sessions.get(digest, 0.0) <= time.time():
            raise NotAuthenticated("the browser's session has ended: run rtevents dashboard again")
        return Principal(f"browser:{digest[:8]}", BROWSER)

    def _check_host(self, request: Asking) -> None:
        host = request.headers.get("Host", "")
        if host.lower() not in self._hosts:
            raise Misdirected(f"not a host of this daemon: {host[:80]!r}")

    def _check_site(self, request: Asking, *, is_page: bool) -> None:
        """Refuse what another site's page sends: Go's CrossOriginProtection rule (S2, S4)."""
        site = request.headers.get("Sec-Fetch-Site")
        # Another site may link to the dashboard, not to what is behind it: in a frame, that too
        # would be a visit.
        is_get = request.method == "GET"
        is_visit = is_page and is_get and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in (None, "same-origin", "none") and not is_visit:
            raise NotAllowed(f"the request comes from another site: {site[:40]!r}")
        if (origin := request.headers.get("Origin")) is not None and not self._is_own(origin):
            raise NotAllowed(f"the origin is not this daemon's: {origin[:80]!r}")

    def _is_own(self, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme == "http" and parts.netloc.lower() in self._hosts


def require(principal: Principal, role: str) -> None:
    """
    Check that a principal has a role.

    Raises:
        NotAllowed: It has not.
    """
    if not principal.grant.allows(role):
        raise NotAllowed(f"this needs the role {role}, {principal.name} is {principal.grant.role}")


ROLES = tuple(role for role in INCLUDES if role not in ("browser", "anonymous"))
"""The roles that a token can have."""

_PEER = struct.Struct("3i")


def _peer(opened: socket.socket) -> Principal:
    """Return who is at the other end of a Unix socket: the same user owns the daemon (S7)."""
    if not hasattr(socket, "SO_PEERCRED"):
        # The socket's folder lets nobody else in, and this system tells no more.
        return Principal(f"local:{os.getuid()}", OWNER)
    raw = opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(raw)
    if uid not in (os.getuid(), 0):
        raise NotAllowed(f"the daemon belongs to user {os.getuid()}, not to {uid}")
    return Principal(f"local:{uid}", OWNER, pid)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _alive(ends: dict[str, float], now: float) -> dict[str, float]:
    return {digest: end for digest, end in ends.items() if end > now}
