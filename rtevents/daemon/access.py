"""The guard, as a configuration wants it."""

from __future__ import annotations

from functools import partial

import msgspec

from rtevents.config.paths import Paths, expand
from rtevents.config.settings import Config
from rtevents.core.filter import Grant
from rtevents.core.names import type_name
from rtevents.core.service import EventService
from rtevents.server.audit import Audit
from rtevents.server.browser import Browsers
from rtevents.server.guard import Guard
from rtevents.server.jwt import Issuers, load_issuer
from rtevents.server.limits import Rates
from rtevents.server.tokens import Tokens


def open_guard(config: Config, paths: Paths, service: EventService) -> Guard:
    """
    Return the guard; whoever asked for it closes its audit log.

    Raises:
        ConfigError: The keys of an issuer cannot be used.
    """
    audit = Audit(paths.audit, **msgspec.structs.asdict(config.audit))
    audit.on_trouble = partial(service.warn, "audit")
    guard = Guard(
        Tokens(paths.state / "tokens.json"), Browsers(paths.state / "sessions.json"), audit
    )
    take_on(guard, config, load_issuers(config))
    return guard


def load_issuers(config: Config) -> Issuers:
    """
    Read the keys of the identity providers.

    Raises:
        ConfigError: They cannot be used.
    """
    return Issuers(
        load_issuer(
            each.issuer,
            each.audience,
            expand(each.keys),
            each.algorithms,
            Grant(
                role=each.role,
                projects=frozenset(each.projects),
                types=frozenset(map(type_name, each.types)),
            ),
        )
        for each in config.issuers
    )


def take_on(guard: Guard, config: Config, issuers: Issuers) -> None:
    """Let a guard know what a configuration says of it."""
    guard.know(config.hosts, config.origins, issuers)
    guard.rates = Rates(config.limits.events, config.limits.bytes)
