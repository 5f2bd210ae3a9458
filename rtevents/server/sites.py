"""Sites: under which hosts the daemon is reached, and whose pages may ask there."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from multidict import MultiMapping

from rtevents.errors import BadInput, NotAllowed
from rtevents.server.peer import Asking

_ONCE = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode")
"""The headers by which it is decided which page asks."""

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Sites:
    """
    The hosts of the daemon, and the origins of front ends of the user's own.

    Attributes:
        scheme: How browsers reach it: ``http``, or ``https`` with TLS.
    """

    def __init__(self) -> None:
        self.scheme = "http"
        self._port = 0
        self._addresses: tuple[str, ...] = ()
        self.know((), ())

    def know(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        """
        Know these further hosts and origins, and no others.

        Args:
            hosts: Hosts, as ``name:port``, under which the daemon may be reached.
            origins: Origins of front ends, whose pages may ask with a token.
        """
        self._named = {host.lower() for host in hosts}
        self._origins = {origin.lower() for origin in origins}
        self.listen(self._port, *self._addresses)

    def listen(self, port: int, *addresses: str) -> None:
        """Know the TCP port on which browsers come, and the addresses besides loopback's."""
        self._port = port
        self._addresses = addresses
        own = {f"{name}:{port}" for name in (*_LOOPBACK, *addresses) if port}
        self._hosts = self._named | own

    @property
    def cookie(self) -> str:
        """The cookie's name: cookies are shared by all ports of a host, so it carries the port."""
        return f"rtevents_{self._port}"

    def is_foreign(self, origin: str) -> bool:
        """Tell whether an origin is that of a front end of the user's own."""
        return origin.lower() in self._origins

    def foreign_origin(self, request: Asking) -> str | None:
        """Return the origin of a front end of the user's own; None for any other request."""
        origin = request.headers.get("Origin")
        return origin if origin is not None and self.is_foreign(origin) else None

    def origin(self, request: Asking) -> str:
        """Return the origin of the page that asks, which is this daemon's own."""
        own = f"{self.scheme}://{request.headers.get('Host', '')}"
        return request.headers.get("Origin", own).lower()

    def is_host(self, host: str) -> bool:
        """Tell whether a Host header names this daemon."""
        return host.lower() in self._hosts

    def check_page(self, request: Asking, *, is_page: bool) -> None:
        """
        Refuse what another site's page sends: Go's CrossOriginProtection rule (S2, S4).

        Args:
            is_page: Whether a page is asked for, to which another site may link.
        Raises:
            NotAllowed: It is another site's.
            BadInput: It says more than once where it comes from.
        """
        # A plain request has each of its headers once.
        if isinstance(request.headers, MultiMapping):
            for name in _ONCE:
                if len(request.headers.getall(name, ())) > 1:
                    # Whoever looks at the other one would decide something else.
                    raise BadInput(f"more than one header {name}")
        if self.foreign_origin(request) is not None:
            return
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
        return parts.scheme == self.scheme and parts.netloc.lower() in self._hosts
