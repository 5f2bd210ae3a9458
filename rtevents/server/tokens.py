"""Tokens: what programs show to come in over TCP, kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from rtevents.core.clock import latest
from rtevents.core.filter import INCLUDES, Grant
from rtevents.core.keep import load, save
from rtevents.errors import BadInput, NotAuthenticated, NotFound

ROLES = tuple(role for role in INCLUDES if role not in ("browser", "anonymous"))
"""The roles that a token can have."""


MAX_LIFE = 100 * 365.25 * 86400
"""Longest life of a token that ends, in seconds: no calendar can write some later times."""

MAX_NAME = 200
"""Longest name of a token, in characters."""


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
            StoreError: It cannot be kept.
        """
        if role not in ROLES:
            raise BadInput(f"role: expected one of {', '.join(ROLES)}, got {role!r}", field="role")
        token_id = secrets.token_hex(4)
        secret = f"rte_{token_id}_{secrets.token_urlsafe(32)}"
        token = Token(
            id=token_id,
            digest=digest(secret),
            role=role,
            projects=sorted(projects),
            types=sorted(types),
            name=name,
            created_at=time.time(),
            expires=None if expires_in is None else time.time() + expires_in,
        )
        self._save(self._tokens | {token_id: token})
        return token, secret

    @property
    def is_any_good(self) -> bool:
        """Whether one of them has not expired."""
        now = time.time()
        return any(token.expires is None or token.expires > now for token in self.all())

    def all(self) -> list[Token]:
        """Return what is kept of every token, the oldest first."""
        return list(self._tokens.values())

    def revoke(self, token_id: str) -> None:
        """
        Forget a token.

        Raises:
            NotFound: There is none of that id.
            StoreError: What is left cannot be kept: the token goes on.
        """
        if token_id not in self._tokens:
            raise NotFound(f"no token {token_id[:40]!r}")
        self._save({key: each for key, each in self._tokens.items() if key != token_id})

    def find(self, secret: str) -> Token:
        """
        Return the token of a secret.

        Raises:
            NotAuthenticated: Nobody knows it, or it has expired.
        """
        parts = secret.split("_", 2)
        token = self._tokens.get(parts[1]) if len(parts) == 3 else None
        if token is None or not hmac.compare_digest(token.digest, digest(secret)):
            raise NotAuthenticated("the token is not known here")
        if token.expires is not None and token.expires <= latest():
            raise NotAuthenticated("the token has expired")
        return token

    def _save(self, tokens: dict[str, Token]) -> None:
        """Keep these tokens, and know them once that is done: what was not kept was not done."""
        save(self._file, list(tokens.values()))
        self._tokens = tokens
        self.version += 1


def digest(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
