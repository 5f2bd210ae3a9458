"""Who may come in, and in which order that is asked."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from rtevents.core.connection import Connection
from rtevents.errors import BadInput, NotAllowed, NotAuthenticated, RteventsError, Unavailable
from rtevents.server.audit import Audit
from rtevents.server.browser import Browsers, Session
from rtevents.server.credentials import Credentials
from rtevents.server.jwt import PREFIX, Issuers
from rtevents.server.limits import Rates
from rtevents.server.peer import Asking, same_user, stranger
from rtevents.server.polls import Polls
from rtevents.server.principal import NOBODY, Principal
from rtevents.server.sites import Sites
from rtevents.server.tokens import Tokens

TAKEN = (
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)
"""The media types of bodies: a page of another site can send none of them without asking (S4)."""


class Misdirected(RteventsError):  # noqa: N818 - named for the reader's situation
    """The request was meant for another host (RFC 9110, section 15.5.20)."""


class UnsupportedMedia(BadInput):
    """A content type or encoding that is not taken here."""


class Rule(msgspec.Struct, frozen=True):
    """
    What a request needs.

    Args:
        action: What it does, as the audit log names it.
        role: The role that it needs; the empty string for none.
        is_public: Whether it is for who has no credential, too.
        is_whole: Whether a grant that is limited to projects or types is not enough.
        is_change: Whether it administers: written in the audit log each time, or not done. Never
            what is public: anybody could fill the log, and have it synced.
        is_late: Whether a page of one of `origins` may say its token afterwards.
    """

    action: str
    role: str = ""
    is_public: bool = False
    is_whole: bool = False
    is_change: bool = False
    is_late: bool = False


PREFLIGHT = Rule("preflight", is_public=True)
"""A page of one of `origins` asks whether it may ask: that needs no credential, and gives none."""

NOTHING = Rule("nothing")
"""Of what is not there: who shows a credential is told so."""


class Guard:
    """
    Decides who makes a request and whether it may.

    Args:
        tokens: The tokens that are known.
        browsers: The browsers that are logged in.
        audit: Where each decision is written.
        hosts: Further hosts, as ``name:port``, under which the daemon may be reached.
        origins: Origins of front ends of the user's own, whose pages may ask with a token.
        rates: How much a token may publish.

    Attributes:
        sites: Where it is reached, and whose pages may ask.
        polls: The requests that wait, to be ended when credentials change.
    """

    def __init__(
        self,
        tokens: Tokens,
        browsers: Browsers,
        audit: Audit,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        rates: Rates | None = None,
    ) -> None:
        self.tokens = tokens
        self.browsers = browsers
        self.audit = audit
        self.rates = rates or Rates()
        self.sites = Sites()
        self.polls = Polls()
        self._credentials = Credentials(tokens, browsers, self.sites)
        # The streams that came by an identity provider or from a page elsewhere: its origin.
        self._guests: dict[Connection, str] = {}
        self.know(hosts, origins)

    def know(
        self, hosts: Iterable[str], origins: Iterable[str], issuers: Issuers | None = None
    ) -> None:
        """
        Know these further hosts, origins and identity providers, and no others.

        Streams that came by what is not the same any more end; they come back if they still may.
        """
        self.sites.know(hosts, origins)
        before, now = self._credentials.issuers, issuers or Issuers()
        self._credentials.issuers = now
        is_same = before.marks == now.marks
        for connection, origin in list(self._guests.items()):
            is_issued = connection.principal.startswith(PREFIX)
            if (origin and not self.sites.is_foreign(origin)) or (is_issued and not is_same):
                connection.close("changed")
        self.look_again()

    def look_again(self) -> None:
        """Have who was let in before looked at again: its credential may count no more."""
        self.tokens.version += 1
        self.polls.end()

    @property
    def has_credentials(self) -> bool:
        """Whether there is any by which somebody could come in over TCP, but for a browser's."""
        return self._credentials.is_any_good

    def admit(self, request: Asking, rule: Rule, *, about: str = "") -> Principal:
        """
        Let a request in; or refuse it, and write down why.

        A change is written down before it is made. All else the caller writes down as allowed
        when it turns out not to be refused for what it names; what is for everybody is not written
        at all, or anybody could fill the log.

        By TCP, in this order: Host, the page that asks, the body's type, the credential, the role.
        On the Unix socket: who is at the other end, the role.

        Raises:
            Misdirected: The Host header names another host (DNS rebinding, S1).
            NotAllowed: The peer is another user, the page that asks is another site's, or the
                grant does not hold what `rule` needs.
            UnsupportedMedia: The body is of no type that is taken.
            NotAuthenticated: No credential, or none that is known.
            Throttled: Too many of those.
            Unavailable: The audit log cannot be written, and `rule` is a change.
        """
        who = stranger(request)
        check = "peer"
        try:
            if who.address is None:
                who = same_user(who)
            else:
                check = "host"
                _check_host(self.sites, request.headers.get("Host", ""))
                check = "site"
                self.sites.check_page(request, is_page=rule.is_public)
                check = "content type"
                _check_body(request)
                check = "credential"
                if rule.is_late and self._is_late(request):
                    return who
                if not rule.is_public:
                    who = self._credentials.find(request, who)
            check = f"role {rule.role}"
            _authorise(who, rule)
        except RteventsError:
            self.audit.refuse(who, rule.action, check)
            raise
        if rule.is_change:
            self.audit.allow(who, rule.action, about=about, always=True)
        return who

    def admit_late(self, who: Principal, secret: str, rule: Rule) -> Principal:
        """
        Let in who says its token after the handshake.

        Raises:
            NotAllowed, NotAuthenticated, Throttled: As for ``admit``.
        """
        check = "credential"
        try:
            who = self._credentials.find_bearer(secret, who)
            check = f"role {rule.role}"
            _authorise(who, rule)
        except RteventsError:
            self.audit.refuse(who, rule.action, check)
            raise
        return who

    def log_in(self, request: Asking, rule: Rule, ticket: str) -> tuple[Session, str]:
        """
        Exchange a browser's ticket for its session and its secret, and write that down.

        Raises:
            NotAuthenticated: As ``Browsers.log_in``.
            Throttled: There were too many of those.
            Unavailable: The audit log cannot be written.
        """
        who = stranger(request)
        try:
            session, secret = self.browsers.log_in(ticket, self.sites.origin(request))
        except NotAuthenticated:
            self.audit.refuse(who, rule.action, "ticket")
            self._credentials.failed(who)
            raise
        try:
            self.audit.allow(who, "session made", about=session.id, always=True)
        except Unavailable:
            self.browsers.revoke(session.id)
            raise
        return session, secret

    def identify(self, request: Asking, secret: str | None = None) -> Principal:
        """
        Return who makes a request that was let in: its credential may have been revoked since.

        Args:
            secret: The token that came after the handshake.
        Raises:
            NotAllowed, NotAuthenticated, Throttled: As for ``admit``.
        """
        who = stranger(request)
        if secret is not None:
            return self._credentials.find_bearer(secret, who)
        return same_user(who) if who.address is None else self._credentials.find(request, who)

    def confirm(self, request: Asking, who: Principal, secret: str | None = None) -> None:
        """
        Check that who was let in still may do the same: since then something was waited for.

        Args:
            secret: The token that came after the handshake.
        Raises:
            NotAllowed, NotAuthenticated, Throttled: As for ``admit``.
            ConnectionError: The peer is gone.
        """
        if who.grant is NOBODY:
            return
        if request.transport is None:
            raise ConnectionResetError("the peer is gone")
        if self.identify(request, secret).grant != who.grant:
            raise NotAuthenticated("what the credential lets in for has changed: ask again")

    def note(self, connection: Connection, request: Asking) -> None:
        """Remember a stream that ends when its identity provider, or its page's origin, changes."""
        origin = self.sites.foreign_origin(request)
        if origin is not None or connection.principal.startswith(PREFIX):
            self._guests[connection] = (origin or "").lower()
            connection.on_close(partial(self._forget, connection))

    def _forget(self, connection: Connection) -> None:
        self._guests.pop(connection, None)

    def _is_late(self, request: Asking) -> bool:
        """Tell whether a token may come as the first message: a page can send no header there."""
        has_token = "Authorization" in request.headers
        return not has_token and self.sites.foreign_origin(request) is not None


def require(principal: Principal, role: str) -> None:
    """
    Check that a principal has a role.

    Raises:
        NotAllowed: It has not.
    """
    if not principal.grant.allows(role):
        raise NotAllowed(f"this needs the role {role}, {principal.name} is {principal.grant.role}")


def _authorise(who: Principal, rule: Rule) -> None:
    if rule.role:
        require(who, rule.role)
    if rule.is_whole and who.grant.is_limited:
        raise NotAllowed(
            f"this concerns every project and type, {who.name} is limited to some: "
            "use a token without --project and --type, or the Unix socket"
        )


def _check_host(sites: Sites, host: str) -> None:
    if not sites.is_host(host):
        raise Misdirected(f"not a host of this daemon: {host[:80]!r}")


def _check_body(request: Asking) -> None:
    """Refuse a body that is of no type that is taken, or compressed."""
    headers = request.headers
    if "Content-Encoding" in headers:
        raise UnsupportedMedia("a compressed body is not taken: send it as it is")
    kind = headers.get("Content-Type", "")
    has_body = "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"
    if (kind or has_body) and kind.partition(";")[0].strip().lower() not in TAKEN:
        raise UnsupportedMedia(
            f"content type {kind[:80]!r} is not taken: send application/json, "
            "application/x-ndjson or application/cloudevents+json"
        )
