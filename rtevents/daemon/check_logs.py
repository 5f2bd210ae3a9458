"""What of the logs of a configuration the daemon alone can judge: where their stores are."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address

from rtevents.config.load import Loaded
from rtevents.config.logs import MAIN
from rtevents.config.paths import real
from rtevents.config.settings import Config
from rtevents.errors import ConfigError
from rtevents.stores.redis_place import Place

LOCALHOST = frozenset({"127.0.0.1", "::1"})
"""What ``localhost`` is (RFC 6761, section 6.3)."""


def check_logs(loaded: Loaded) -> None:
    """
    Check that each log of Redis can be asked, and is where no other is, as far as the URLs tell.

    What they do not tell, such as two names of one machine, is seen when the logs are opened.

    Raises:
        ConfigError: The extra is missing, a URL cannot be read, or two are of one log; the text
            names the file, the line and the key.
    """
    places: dict[str, Place] = {}
    for key, name, url in _stores(loaded.config):
        if "://" not in url:
            continue
        if find_spec("redis") is None:
            raise ConfigError(
                f"{loaded.where(key)}: needs the extra `redis`: pip install 'rtevents[redis]'",
                field=key,
            )
        try:
            place = Place.parse(url)
        except ConfigError as error:
            words = str(error).removeprefix("store: ")
            raise ConfigError(f"{loaded.where(key)}: {words}", field=key) from error
        for other, there in places.items():
            if is_one_log(place, there):
                raise ConfigError(
                    f"{loaded.where(key)}: the log {other!r} is there: give this one another "
                    "?log=NAME",
                    field=key,
                )
        places[name] = place


def _stores(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield the key, the log's name and the store of each log."""
    yield "store", MAIN, config.store
    for index, part in enumerate(config.logs):
        yield f"logs[{index}].store", part.name, part.store


def is_one_log(one: Place, other: Place) -> bool:
    """Tell whether two places are one log, whoever asks there and however."""
    same = (one.kind, one.master, one.db, one.name) == (
        other.kind,
        other.master,
        other.db,
        other.name,
    )
    if not same:
        return False
    if one.path:
        return real(one.path) == real(other.path)
    # Two sentinels, or two nodes of a cluster, may know of the same servers.
    return not _addresses(one).isdisjoint(_addresses(other))


def _addresses(place: Place) -> set[tuple[str, int]]:
    return {(name, port) for host, port in place.hosts for name in _names(host)}


def _names(host: str) -> frozenset[str]:
    """Return what a host may be called, in one form."""
    name = host.lower().rstrip(".")
    if name == "localhost":
        return LOCALHOST
    try:
        address = ip_address(name)
    except ValueError:
        return frozenset({name})
    # An IPv4 address may be written as one of IPv6 (RFC 4291, section 2.5.5.2).
    return frozenset({str(getattr(address, "ipv4_mapped", None) or address)})
