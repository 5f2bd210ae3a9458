"""Matcher: which of many filters want which entries, each asked once."""

from __future__ import annotations

from rtevents.core.event import Entry
from rtevents.core.filter import Filter

KEYS = ("sources", "projects", "types")
"""The keys of a filter by whose values it is found, the one that tells most apart first."""


class Matched:
    """
    A filter, and what of a page it wants.

    Attributes:
        wanted: The filter.
        entries: What it wants; the page itself when it wants all of it.
    """

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.entries: list[Entry] = []
        self.uses = 0
        """How many ask for it."""
        asked = [name for name in KEYS if getattr(wanted, name)]
        self.key = asked[0] if asked else None
        """The key by whose values it is found; None when every entry has to be shown to it."""
        more = wanted.not_types or wanted.paths or wanted.wheres
        self.is_decided = asked == [self.key] and not more
        """Whether that key is all it asks for."""


class Matcher:
    """
    Filters, found by the values that they ask for.

    An entry is shown only to those filters that ask for its source, its project or its type, so
    that the cost follows what matches rather than how many filters there are.
    """

    def __init__(self) -> None:
        self._all: dict[Filter, Matched] = {}
        self._everything: Matched | None = None
        self._shown_all: dict[Matched, None] = {}
        # For each of KEYS: value -> the filters that ask for it.
        self._asking: dict[str, dict[str | None, dict[Matched, None]]] = {name: {} for name in KEYS}

    def add(self, wanted: Filter) -> Matched:
        """Return the place of a filter, to be given to ``remove``; equal filters share one."""
        matched = self._all.get(wanted)
        if matched is None:
            matched = self._all[wanted] = Matched(wanted)
            self._enter(matched)
        matched.uses += 1
        return matched

    def _enter(self, matched: Matched) -> None:
        wanted = matched.wanted
        if wanted.is_everything:
            self._everything = matched
        elif matched.key is None:
            self._shown_all[matched] = None
        else:
            for value in getattr(wanted, matched.key):
                self._asking[matched.key].setdefault(value, {})[matched] = None

    def remove(self, matched: Matched) -> None:
        """Forget a filter, unless others asked for it too."""
        matched.uses -= 1
        if matched.uses:
            return
        del self._all[matched.wanted]
        if matched is self._everything:
            self._everything = None
        elif matched.key is None:
            del self._shown_all[matched]
        else:
            asking = self._asking[matched.key]
            for value in getattr(matched.wanted, matched.key):
                del asking[value][matched]
                if not asking[value]:
                    del asking[value]

    def match(self, page: list[Entry]) -> list[Matched]:
        """Return the filters that want something of a page; what, lies in their ``entries``."""
        found: dict[Matched, None] = {}
        if self._everything is not None:
            self._everything.entries = page
            found[self._everything] = None
        if len(self._all) == len(found):
            return list(found)
        sources, projects, types = (self._asking[name] for name in KEYS)
        for entry in page:
            for asking in (
                sources.get(entry.source),
                projects.get(entry.project_id),
                types.get(entry.type),
                self._shown_all,
            ):
                for matched in asking or ():
                    if matched.is_decided or matched.wanted.matches(entry):
                        if matched not in found:
                            found[matched] = None
                            matched.entries = []
                        matched.entries.append(entry)
        return list(found)
