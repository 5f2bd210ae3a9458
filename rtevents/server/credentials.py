"""Credentials: who somebody is that shows one."""

from __future__ import annotations

from rtevents.errors import NotAuthenticated
from rtevents.server.browser import Browsers
from rtevents.server.jwt import Issuers
from rtevents.server.limits import Failures
from rtevents.server.peer import Asking, known
from rtevents.server.principal import Principal
from rtevents.server.sites import Sites
from rtevents.server.tokens import Tokens


class Credentials:
    """
    Tokens, the sessions of browsers, and what identity providers sign.

    Args:
        tokens: The tokens that are known.
        browsers: The browsers that are logged in.
        sites: On whose pages a browser's cookie counts.

    Attributes:
        issuers: The identity providers; they may be changed.
    """

    def __init__(self, tokens: Tokens, browsers: Browsers, sites: Sites) -> None:
        self._tokens = tokens
        self._browsers = browsers
        self._sites = sites
        self._failures = Failures()
        self.issuers = Issuers()

    @property
    def is_any_good(self) -> bool:
        """Whether there is any by which somebody could come in over TCP, but for a browser's."""
        return self._tokens.is_any_good or bool(self.issuers)

    def find(self, request: Asking, who: Principal) -> Principal:
        """
        Return who makes a request, by the credential that it carries.

        Args:
            who: What is known of the peer.
        Raises:
            NotAuthenticated: It carries none, or one that nobody knows.
            Throttled: There were too many of those.
        """
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.find_bearer(secret.strip(), who)
        # A browser says with every WebSocket where it comes from, and has to (S2). Elsewhere than
        # on the daemon's own pages a cookie counts for nothing: who shows it may not know of it.
        is_silent = "Upgrade" in request.headers and "Origin" not in request.headers
        is_own = not is_silent and self._sites.foreign_origin(request) is None
        if is_own and (cookie := request.cookies.get(self._sites.cookie)):
            try:
                session = self._browsers.find(cookie, self._sites.origin(request))
            except NotAuthenticated:
                self.failed(who)
                raise
            return known(who, f"browser:{session.id}", session.grant)
        raise NotAuthenticated(
            "no credential: send `Authorization: Bearer rte_…` (rtevents token create), "
            "or open the dashboard with: rtevents dashboard"
        )

    def find_bearer(self, secret: str, who: Principal) -> Principal:
        """
        Return who a token stands for; one that nobody knows is counted.

        Raises:
            NotAuthenticated, Throttled: As for ``find``.
        """
        try:
            if self.issuers and not secret.startswith("rte_"):
                return known(who, *self.issuers.find(secret))
            token = self._tokens.find(secret)
        except NotAuthenticated:
            self.failed(who)
            raise
        return known(who, f"token:{token.id}", token.grant)

    def failed(self, who: Principal) -> None:
        """
        Note that somebody showed a credential that nobody knows.

        Raises:
            Throttled: It was not the first.
        """
        self._failures.add(who.peer)
