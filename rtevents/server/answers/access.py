"""What answers hold of tokens, tickets and sessions."""

from __future__ import annotations

import msgspec


class TokenInfo(msgspec.Struct):
    """
    A token, without its secret.

    Args:
        id: Its public name.
        created_at: Unix seconds.
        expires: Unix seconds; null for never.
    """

    id: str
    role: str
    projects: list[str]
    types: list[str]
    name: str
    created_at: float
    expires: float | None


class MadeToken(TokenInfo):
    """
    A token that was just made.

    Args:
        token: Its secret, told this once.
    """

    token: str


class SessionInfo(TokenInfo):
    """
    A browser that is logged in.

    Args:
        origin: Where its cookie is good.
        maker: Who made its ticket.
    """

    origin: str
    maker: str


class Credentials(msgspec.Struct):
    """Every token and every browser's session that the grant covers."""

    tokens: list[TokenInfo]
    sessions: list[SessionInfo]


class OwnCredential(msgspec.Struct):
    """
    What the credential of the request may do.

    Args:
        principal: Who it stands for.
        projects: The projects it is limited to; empty for every project.
        types: The event types it is limited to; empty for every type.
        expires: Unix seconds; null for never.
        logs: The logs that may have what it holds; `main`, where there is one alone.
    """

    principal: str
    role: str
    projects: list[str]
    types: list[str]
    expires: float | None
    logs: list[str]


class MadeTicket(msgspec.Struct):
    """
    An address that logs a browser in, once.

    Args:
        expires_in: Seconds for which it is good.
    """

    url: str
    expires_in: float


class LoggedIn(msgspec.Struct):
    """
    A session that has begun.

    Args:
        until: Unix seconds.
    """

    until: float
