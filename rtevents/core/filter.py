"""Filter and Grant: which events a reader wants, and which it may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from rtevents.core.event import Entry
from rtevents.core.glob import Glob
from rtevents.core.names import type_name
from rtevents.core.paths import is_about
from rtevents.errors import FilterError, NotAllowed

if TYPE_CHECKING:  # a client filters, and checks no payload
    from rtevents.core.payloads import EventTypes
    from rtevents.core.where import Where

MAX_VALUES = 256
"""Most values that one key of a filter may hold."""


MAX_PATTERNS = 16_384
"""Most characters of all globs, or of all conditions, of a filter: each takes time to be read."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which events a reader wants: any of the values of a key, and all of the keys.

    An empty key asks for nothing in particular, so ``Filter()`` wants everything.

    Args:
        types: Event types.
        not_types: Event types that are left out.
        projects: Project ids.
        sources: Sources.
        paths: Globs for the event's files: ``*`` stays within a folder, ``**`` does not.
        wheres: Conditions on any of its fields, in the language of ``core/where.py``.
        logs: Names of logs, where there are several: who has them looks there alone. An entry does
            not say in which it is, so that ``matches`` does not ask.
    """

    types: frozenset[str] = frozenset()
    not_types: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    wheres: frozenset[str] = frozenset()
    logs: frozenset[str] = frozenset()

    def matches(self, entry: Entry) -> bool:
        """Tell whether the reader wants `entry`."""
        return (
            (not self.types or entry.type in self.types)
            and entry.type not in self.not_types
            and (not self.projects or entry.project_id in self.projects)
            and (not self.sources or entry.source in self.sources)
            and (not self.paths or any(is_about(entry, _glob(path)) for path in self.paths))
            and (not self.wheres or any(condition(text).matches(entry) for text in self.wheres))
        )

    @property
    def is_everything(self) -> bool:
        """Whether every entry matches."""
        return msgspec.structs.replace(self, logs=EVERYTHING.logs) == EVERYTHING

    def as_query(self) -> list[tuple[str, str]]:
        """Return the filter as the pairs of a query string; ``parse_filter`` reads them back."""
        return [
            (key, value) for key, name in _KEYS.items() for value in sorted(getattr(self, name))
        ]

    def as_dict(self) -> dict[str, list[str]]:
        """Return the keys that ask for something, as ``hello`` and the statistics show them."""
        named = {key: sorted(getattr(self, name)) for key, name in _KEYS.items()}
        return {key: values for key, values in named.items() if values}


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a principal may see and do.

    Args:
        role: One of ``ROLES``.
        projects: Project ids; empty means every project.
        types: Event types; empty means every type.
        expires: Unix seconds after which the grant holds nothing; None for never.
    """

    role: str
    projects: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    expires: float | None = None

    def allows(self, role: str) -> bool:
        """Tell whether the grant's role includes `role`."""
        return role in INCLUDES[self.role]

    def narrow(self, wanted: Filter) -> Filter:
        """
        Return `wanted` within this grant: the one place where a grant meets a filter.

        Raises:
            NotAllowed: The filter names a project or a type that the grant does not hold.
        """
        if not self.is_limited:
            return wanted
        return msgspec.structs.replace(
            wanted,
            projects=_within("project", wanted.projects, self.projects),
            types=_within("type", wanted.types, self.types),
        )

    @property
    def is_limited(self) -> bool:
        """Whether there are projects or types that it does not hold."""
        return bool(self.projects or self.types)

    @property
    def visible(self) -> Filter:
        """Everything that it holds."""
        return self.narrow(EVERYTHING)

    def holds(self, wanted: Filter) -> bool:
        """Tell whether all that `wanted` wants is within this grant."""
        try:
            return self.narrow(wanted) == wanted
        except NotAllowed:
            return False

    def covers(self, other: Grant) -> bool:
        """Tell whether `other` may do nothing that this grant may not."""
        return INCLUDES[other.role] <= INCLUDES[self.role] and self.holds(other.visible)

    def permits(self, type: str, project_id: str | None) -> bool:  # noqa: A002 - the event's field
        """Tell whether an event of this type and project may be published."""
        return (not self.types or type in self.types) and (
            not self.projects or project_id in self.projects
        )


INCLUDES: dict[str, frozenset[str]] = {
    "owner": frozenset({"owner", "admin", "publisher", "viewer"}),
    "admin": frozenset({"admin", "publisher", "viewer"}),
    "publisher": frozenset({"publisher"}),
    "viewer": frozenset({"viewer"}),
    # The owner's browser looks at everything; a page in it publishes nothing (S4).
    "browser": frozenset({"browser", "admin", "viewer"}),
    "anonymous": frozenset(),
}
"""The roles, and the roles that each one includes."""

OWNER = Grant(role="owner")
"""The grant of the daemon's own user."""


def parse_filter(query: Mapping[str, Sequence[str]], types: EventTypes | None) -> Filter:
    """
    Read a filter from the keys of a query string; other keys are left alone.

    Args:
        query: Values by key; a value may name several types or projects, with commas between.
        types: The types that there are; None where that cannot be known yet.
    Raises:
        FilterError: A value names nothing, or asks for what cannot be; the text has the nearest
            type that is known.
    """
    # Only what is given: an empty set of one's own would take more room than all else of a filter.
    values = {
        name: frozenset(given)
        for key, name in _KEYS.items()
        if (given := _values(key, query.get(key, ())))
    }
    for name in values.keys() & {"types", "not_types"}:
        values[name] = frozenset(_known(value, types) for value in values[name])
    for key in ("path", "where"):
        if (size := sum(map(len, values.get(_KEYS[key], ())))) > MAX_PATTERNS:
            raise FilterError(f"{key}: {size} characters, {MAX_PATTERNS} at most", field=key)
    for glob in values.get("paths", ()):
        _glob(glob)
    for text in values.get("wheres", ()):
        condition(text)
    wanted = Filter(**values)
    if wanted.wheres and types is not None:
        # Imported here: it knows every payload.
        from rtevents.core.where_check import check

        for text in wanted.wheres:
            check(condition(text).node, types, wanted.types - wanted.not_types)
    return wanted


_KEYS = {
    "type": "types",
    "not_type": "not_types",
    "project": "projects",
    "source": "sources",
    "path": "paths",
    "where": "wheres",
    "log": "logs",
}
"""The keys of a query string and the fields of ``Filter``; DESIGN section 6."""

FILTER_KEYS = frozenset(_KEYS)
"""The keys of a query string that make a filter."""

EVERYTHING = Filter()
"""What leaves nothing out."""

_glob = lru_cache(maxsize=4096)(Glob)


def path_hints(globs: Iterable[str]) -> list[bytes]:
    """Return bytes of which one is in the body of whatever is about such a file, or nothing."""
    hints = [_glob(text).hint for text in globs]
    return hints if all(hints) else []


@lru_cache(maxsize=1024)
def condition(text: str) -> Where:
    """
    Return a condition; one that was read lately is not read again.

    Raises:
        FilterError: It cannot be read; the text names the column.
    """
    # Imported here: most commands have none.
    from rtevents.core.where import Where

    return Where(text)


def _values(key: str, given: Iterable[str]) -> list[str]:
    """Split what was given; a path, a source or a condition may itself hold a comma."""
    split = key in ("type", "not_type", "project", "log")
    values = [part for value in given for part in (value.split(",") if split else [value])]
    values = [value.strip() if split else value for value in values]
    if len(values) > MAX_VALUES:
        raise FilterError(f"{key}: {len(values)} values, {MAX_VALUES} at most", field=key)
    return [value for value in values if value]


def _known(name: str, types: EventTypes | None) -> str:
    if types is not None and type_name(name) not in types:
        raise FilterError(types.unknown(name), field="type")
    return type_name(name)


def _within(noun: str, wanted: frozenset[str], held: frozenset[str]) -> frozenset[str]:
    if not held:
        return wanted
    if beyond := sorted(wanted - held):
        raise NotAllowed(f"the grant does not hold {noun} {beyond[0]!r}", about=beyond[0][:48])
    return wanted or held
