"""Browsers: the one-time tickets that log them in, and the sessions that follow."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import msgspec

from rtevents.core.clock import latest
from rtevents.core.filter import Grant
from rtevents.core.keep import load, save
from rtevents.errors import NotAuthenticated, NotFound, Throttled
from rtevents.server.tokens import digest

TICKET_SECONDS = 30.0
"""How long a browser's ticket is good for, in seconds."""

MAX_TICKETS = 16
"""Most tickets that wait to be used: a person opens one page at a time."""

SESSION_SECONDS = 30 * 86400.0
"""How long a browser stays logged in, in seconds."""

MAX_SESSIONS = 256
"""Most sessions that are kept; the oldest goes when there is one more."""


class Session(msgspec.Struct, kw_only=True):
    """
    A browser that is logged in, as it is kept: the secret only as its hash.

    Args:
        id: Its public name.
        digest: SHA-256 of the cookie, in hexadecimal.
        origin: Where the cookie is good, such as ``http://127.0.0.1:8473``.
        maker: Who made its ticket, such as ``local:1000``: it ends with a token that is revoked.
        role: ``browser``, or ``viewer`` for the stream alone.
        created_at: Unix seconds.
        expires: Unix seconds.
    """

    id: str
    digest: str
    origin: str
    maker: str
    role: str = "browser"
    projects: list[str] = []
    types: list[str] = []
    created_at: float
    expires: float

    @property
    def grant(self) -> Grant:
        """What the browser may do: look at what its ticket was for, publish nothing."""
        return Grant(
            role=self.role,
            projects=frozenset(self.projects),
            types=frozenset(self.types),
            expires=self.expires,
        )


class _Ticket(msgspec.Struct):
    """A ticket that waits: `ends` by a clock that is never set."""

    ends: float
    origin: str
    maker: str
    grant: Grant


class Browsers:
    """
    The tickets and the sessions of a daemon.

    Args:
        file: Where sessions are kept: a page that is open comes back by itself after a restart.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tickets: dict[str, _Ticket] = {}
        self._sessions = {each.digest: each for each in load(file, list[Session], [])}

    def ticket(self, origin: str, maker: str, grant: Grant) -> str:
        """
        Return a secret that logs a browser in at `origin`, once, within ``TICKET_SECONDS``.

        Raises:
            Throttled: ``MAX_TICKETS`` wait to be used.
        """
        now = time.monotonic()
        self._tickets = {key: each for key, each in self._tickets.items() if each.ends > now}
        if len(self._tickets) >= MAX_TICKETS:
            wait = min(each.ends for each in self._tickets.values()) - now
            raise Throttled(
                f"{MAX_TICKETS} tickets wait to be used: use one, or try again in {wait:.0f} s",
                retry_after=wait,
            )
        secret = secrets.token_urlsafe(32)
        self._tickets[digest(secret)] = _Ticket(now + TICKET_SECONDS, origin, maker, grant)
        return secret

    def log_in(self, ticket: str, origin: str) -> tuple[Session, str]:
        """
        Exchange a ticket for a session and its secret.

        Raises:
            NotAuthenticated: The ticket is used, too old, of another origin, or never was.
        """
        found = self._tickets.pop(digest(ticket), None)
        if found is None or found.ends <= time.monotonic():
            raise NotAuthenticated("the ticket is used or too old: run rtevents dashboard again")
        if found.origin != origin:
            raise NotAuthenticated(
                f"the ticket is for {found.origin}: run rtevents dashboard again, and open that"
            )
        secret = secrets.token_urlsafe(32)
        now = time.time()
        limit = found.grant.expires
        session = Session(
            id=secrets.token_hex(4),
            digest=digest(secret),
            origin=origin,
            maker=found.maker,
            # Never more than a browser may, whoever made the ticket.
            role="viewer" if found.grant.role == "viewer" else "browser",
            projects=sorted(found.grant.projects),
            types=sorted(found.grant.types),
            created_at=now,
            expires=min(now + SESSION_SECONDS, now + SESSION_SECONDS if limit is None else limit),
        )
        kept = self.all()[-(MAX_SESSIONS - 1) :]
        self._save([*kept, session])
        return session, secret

    def find(self, secret: str, origin: str) -> Session:
        """
        Return the session of a cookie.

        Raises:
            NotAuthenticated: Nobody knows it here, or it has ended.
        """
        session = self._sessions.get(digest(secret))
        if session is None or session.expires <= latest() or session.origin != origin:
            raise NotAuthenticated("the browser's session has ended: run rtevents dashboard again")
        return session

    def all(self) -> list[Session]:
        """Return the sessions that have not ended, the oldest first."""
        now = latest()
        return [each for each in self._sessions.values() if each.expires > now]

    def revoke(self, session_id: str) -> None:
        """
        End a session.

        Raises:
            NotFound: There is none of that id.
        """
        found = [each for each in self._sessions.values() if each.id == session_id]
        if not found:
            raise NotFound(f"no token and no session {session_id[:40]!r}")
        self._forget(found)

    def revoke_of(self, maker: str) -> list[str]:
        """End the tickets and the sessions that `maker` made; return the sessions' ids."""
        self._tickets = {key: t for key, t in self._tickets.items() if t.maker != maker}
        found = [each for each in self._sessions.values() if each.maker == maker]
        if found:
            self._forget(found)
        return [each.id for each in found]

    def _forget(self, sessions: list[Session]) -> None:
        self._save([each for each in self.all() if each not in sessions])

    def _save(self, sessions: list[Session]) -> None:
        """Keep these sessions, and know them once that is done."""
        save(self._file, sessions)
        self._sessions = {each.digest: each for each in sessions}
