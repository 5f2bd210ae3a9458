"""Tokens of an identity provider: signed JSON Web Tokens (RFC 7519), where `issuers` names it."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.own import read_own
from rtevents.core.clock import latest
from rtevents.core.draft import END_OF_TIME
from rtevents.core.filter import Filter, Grant
from rtevents.errors import ConfigError, NotAllowed, NotAuthenticated
from rtevents.server.tokens import ROLES

MAX_TOKEN = 8192
"""Longest token, in bytes: what a header may have."""

MAX_KEYS = 1024 * 1024
"""Largest file of keys, in bytes."""

KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP", "HS": "oct"}
"""The kind of key that each family of algorithms takes, by its first two letters (RFC 7518)."""

ALGORITHMS = re.compile(r"(?:[RPEH]S(?:256|384|512)|EdDSA|Ed25519)\Z")
"""The algorithms that may be pinned: `none` is not among them."""

HEADERS = {"alg", "kid", "typ"}
"""What a header may hold. A `crit`, a key or the address of one is refused: what decides whether a
token is good comes from the configuration alone (RFC 8725, section 3)."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")


class Issuer(msgspec.Struct, frozen=True):
    """
    An identity provider whose tokens let in.

    Args:
        name: Its `iss`.
        audience: What `aud` has to hold.
        algorithms: The algorithms that its signatures may have.
        grant: The most that its tokens may see and do.
        keys: Its keys, a ``KeySet`` of joserfc.
        digest: What tells its file of keys from another.
    """

    name: str
    audience: str
    algorithms: tuple[str, ...]
    grant: Grant
    keys: Any
    digest: bytes


class _Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The claim ``rtevents``: what one token may do, within what its issuer's may.

    What is left out is not limited. A misspelt limit is none: it must not be passed over.
    """

    role: str | msgspec.UnsetType = msgspec.UNSET
    projects: frozenset[str] | msgspec.UnsetType = msgspec.UNSET
    types: frozenset[str] | msgspec.UnsetType = msgspec.UNSET


class _Claims(msgspec.Struct, frozen=True):
    """What is read of a payload; each but `nbf` and ``rtevents`` has to be there."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    nbf: float = 0.0
    rtevents: msgspec.Raw = msgspec.Raw(b"{}")


PREFIX = "jwt:"
"""How the names of those begin who show such a token."""


class Issuers:
    """The identity providers of a configuration."""

    def __init__(self, issuers: Iterable[Issuer] = ()) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._issuers)

    @property
    def marks(self) -> dict[str, tuple[Any, ...]]:
        """What their tokens depend on: another where one of them, or a key, is another."""
        return {
            name: (each.audience, each.algorithms, each.grant, each.digest)
            for name, each in self._issuers.items()
        }

    def find(self, secret: str) -> tuple[str, Grant]:
        """
        Return the name and the grant of who shows a token.

        Raises:
            NotAuthenticated: It is not signed by one of the issuers, for us, and in its time.
        """
        header, claims = _read(secret)
        issuer = self._issuers.get(claims.iss)
        if issuer is None:
            raise NotAuthenticated("the token's issuer is not known here: see `issuers`")
        if header.get("alg") not in issuer.algorithms or not header.keys() <= HEADERS:
            raise NotAuthenticated("the token's algorithm or header is not taken: see `issuers`")
        _verify(secret, issuer)
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if issuer.audience not in audiences:
            raise NotAuthenticated("the token is not for this daemon: its `aud` is another")
        if not claims.nbf <= time.time() or claims.exp <= latest():
            raise NotAuthenticated("the token has expired, or is not good yet")
        return _name(claims), _grant(issuer, claims)


def load_issuer(
    name: str, audience: str, keys: Path, algorithms: Sequence[str], grant: Grant
) -> Issuer:
    """
    Read the keys of an issuer.

    Args:
        keys: A file that holds a JSON Web Key Set.
    Raises:
        ConfigError: The file or an algorithm cannot be used, others can write the file, or joserfc
            is not installed.
    """
    try:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet
    except ImportError as error:
        raise ConfigError(
            "issuers: needs joserfc: pip install 'rtevents[jwt]'", field="issuers"
        ) from error
    if not algorithms or not all(map(ALGORITHMS.match, algorithms)):
        raise ConfigError(
            f"issuers: algorithms of {name}: expected some such as RS256, got {list(algorithms)}",
            field="issuers",
        )
    if grant.role not in ROLES:
        raise ConfigError(
            f"issuers: role of {name}: expected one of {', '.join(ROLES)}", field="issuers"
        )
    try:
        raw = read_own(keys, MAX_KEYS)
        found = KeySet.import_key_set(msgspec.json.decode(raw))
    except ConfigError as error:
        raise ConfigError(f"issuers: keys of {name}: {error}", field="issuers") from error
    except FileNotFoundError as error:
        text = f"issuers: keys of {name}: {keys}: no such file"
        raise ConfigError(text, field="issuers") from error
    except (msgspec.MsgspecError, JoseError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"issuers: keys of {name}: {keys}: {error}", field="issuers") from error
    # A public key taken for the secret of an HS256 is the oldest of attacks (CVE-2015-9256).
    kinds = {KINDS[algorithm[:2]] for algorithm in algorithms}
    if {key.key_type for key in found.keys} != kinds or len(kinds) != 1:
        raise ConfigError(
            f"issuers: {keys} must hold keys of one kind, that of {', '.join(algorithms)}",
            field="issuers",
        )
    digest = blake2b(raw).digest()
    return Issuer(name, audience, tuple(algorithms), grant, found, digest)


def _read(secret: str) -> tuple[dict[str, Any], _Claims]:
    """Return what a token says of itself; nothing of it is to be believed yet."""
    parts = secret.split(".")
    if len(secret) > MAX_TOKEN or len(parts) != 3 or not all(map(_SEGMENT.match, parts)):
        raise NotAuthenticated("the token is not known here")
    try:
        header = msgspec.json.decode(_bytes(parts[0]), type=dict[str, Any])
        return header, msgspec.json.decode(_bytes(parts[1]), type=_Claims)
    except (ValueError, RecursionError) as error:
        raise NotAuthenticated(
            "the token cannot be read: it needs iss, sub, aud and exp"
        ) from error


def _name(claims: _Claims) -> str:
    """
    Return the name of a principal: its subject to be read, and a digest to tell it from others.

    Two issuers may know an `ada` each, and a long or odd subject is not shown whole.
    """
    if not claims.sub:
        raise NotAuthenticated("the token is nobody's: its `sub` is empty")
    subject = re.sub(r"[^A-Za-z0-9._@-]", "?", claims.sub)[:60]
    whole = f"{claims.iss}\0{claims.sub}".encode(errors="surrogatepass")
    return f"{PREFIX}{subject}#{blake2b(whole, digest_size=8).hexdigest()}"


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _verify(secret: str, issuer: Issuer) -> None:
    from joserfc.errors import JoseError
    from joserfc.jws import deserialize_compact

    try:
        deserialize_compact(secret, issuer.keys, algorithms=list(issuer.algorithms))
    except (JoseError, ValueError) as error:
        raise NotAuthenticated("the token's signature is not that of its issuer") from error


def _limits(claims: _Claims) -> _Limits:
    """Return what a token limits itself to, which is something."""
    try:
        limits = msgspec.json.decode(claims.rtevents, type=_Limits)
    except (ValueError, RecursionError) as error:
        raise NotAuthenticated(
            "the token's claim `rtevents` cannot be read: it takes role, projects and types, "
            "the last two as lists"
        ) from error
    for name in ("projects", "types"):
        # To everything else an empty set means all; here somebody computed it, and found none.
        if getattr(limits, name) == frozenset():
            raise NotAuthenticated(f"the token grants nothing: `rtevents.{name}` is empty")
    return limits


def _grant(issuer: Issuer, claims: _Claims) -> Grant:
    """Return what a token may do: what its claim asks for, within what its issuer may give."""
    limits = _limits(claims)
    asked = Filter(projects=limits.projects or frozenset(), types=limits.types or frozenset())
    try:
        held = issuer.grant.narrow(asked)
    except NotAllowed as error:
        raise NotAuthenticated(f"the token claims more than its issuer may give: {error}") from None
    role = issuer.grant.role if limits.role is msgspec.UNSET else limits.role
    # A year that no calendar knows would break who shows it, or sets a timer for it.
    expires = min(claims.exp, END_OF_TIME)
    grant = Grant(role=role, projects=held.projects, types=held.types, expires=expires)
    if role not in ROLES or not issuer.grant.covers(grant):
        raise NotAuthenticated("the token claims a role that its issuer may not give")
    return grant
