"""What of the sinks of a configuration the daemon alone can judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rtevents.config.load import Loaded
from rtevents.config.settings import TypeSettings
from rtevents.config.sinks import KINDS, NAME, SinkSettings
from rtevents.core.filter import parse_filter
from rtevents.core.logs import Routes
from rtevents.core.payloads import EventTypes
from rtevents.core.since import parse_since
from rtevents.errors import BookmarkError, ConfigError, FilterError
from rtevents.producers import DECLARED
from rtevents.sinks import open_reaction


def check_sinks(loaded: Loaded, added: Iterable[str] = ()) -> list[str]:
    """
    Check the sinks.

    Args:
        added: The event types that were added while a daemon ran.
    Returns:
        Why some would not run as things are, in words: a type may be added while the daemon runs.
    Raises:
        ConfigError: A setting cannot be used; the text names the file, the line and the key.
    """
    types = EventTypes()
    for name in {*DECLARED, *added}:
        types.add(name, None)
    for own in loaded.config.event_types:
        types.add(own.name if isinstance(own, TypeSettings) else own, None)
    routes = Routes({log.name: log.projects for log in loaded.config.logs})
    names: set[str] = set()
    unknown = []
    for index, sink in enumerate(loaded.config.sinks):
        try:
            check_sink(sink)
            if sink.name in names:
                raise ConfigError(f"name: {sink.name!r} is there twice", field="name")
            open_reaction(sink)
        except ConfigError as error:
            raise _at(loaded, index, error) from error
        names.add(sink.name)
        for doubt in _doubts(sink, types, routes):
            words = str(doubt).removeprefix(f"{doubt.field}: ")
            unknown.append(f"{loaded.where(f'sinks[{index}].{doubt.field}')}: {words}")
    return unknown


def _doubts(sink: SinkSettings, types: EventTypes, routes: Routes) -> Iterator[FilterError]:
    """Yield why it would not run as things are: a type that is not known, no log, or several."""
    try:
        parse_filter(sink.query, types)
    except FilterError as error:
        yield error
    asked = sink.query["log"]
    if unknown := next((name for name in asked if name not in routes.names), None):
        known = " or ".join(routes.names)
        yield FilterError(f"log: there is no {unknown[:48]!r}, expected {known}", field="log")
        return
    try:
        routes.one(parse_filter({key: sink.query[key] for key in ("project", "log")}, None))
    except FilterError as error:
        yield error
    there = {routes.log_of(project) for project in sink.query["project"]}
    if asked and there and not there & {*asked}:
        # What they had there before, it has looked at.
        words = f"{asked[0]!r} has nothing new of these projects, they are in {', '.join(there)}"
        yield FilterError(f"log: {words}: name that, or leave the log out", field="log")


def check_sink(sink: SinkSettings) -> None:
    """
    Check what concerns one sink alone.

    Raises:
        ConfigError: A setting cannot be used; ``field`` is its name.
    """
    if not NAME.match(sink.name):
        raise ConfigError(
            f"name: expected 1 to 64 of A-Z a-z 0-9 . _ -, got {sink.name[:60]!r}", field="name"
        )
    if len(sink.kinds) != 1:
        got = " and ".join(sink.kinds) or "none"
        raise ConfigError(f"expected one of {', '.join(KINDS)}, got {got}", field="")
    try:
        if parse_since(sink.since).word == "last-per-type":
            raise BookmarkError("last-per-type is no place to go on from")
    except BookmarkError as error:
        raise ConfigError(f"since: {error}", field="since") from error
    for key in ("path", "where"):
        try:
            parse_filter({key: sink.query[key]}, None)
        except FilterError as error:
            words = str(error).removeprefix(f"{key}: ")
            raise ConfigError(f"{key}: {words}", field=key) from error


def _at(loaded: Loaded, index: int, error: ConfigError) -> ConfigError:
    """Return the error with the place in front."""
    place = f"sinks[{index}]"
    field = f"{place}.{error.field}" if error.field else place
    key = str(error).removeprefix(f"{error.field}: ") if error.field else str(error)
    return ConfigError(f"{loaded.where(field)}: {key}", field=field)
