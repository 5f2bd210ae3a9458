"""Every mistake of a configuration: what is wrong is left out, and the rest looked at again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rtevents.config.load import Loaded, load_document, read_document
from rtevents.config.paths import Paths
from rtevents.errors import ConfigError

MOST = 50
"""Mistakes that are told at once."""

TOGETHER = (
    {"cleanup_timeout", "heartbeat_interval"},
    {"listen", "tls"},
    {"logs", "store"},
)
"""Settings that are judged together: without one the other would seem wrong."""


def find_mistakes(
    paths: Paths,
    environ: Mapping[str, str],
    check: Callable[[Loaded], object],
    *,
    named: bool = False,
) -> list[str]:
    """
    Return what is wrong with a configuration, each with its place, in the order of the lines.

    After ``MOST`` of them, the last line says that there are more.

    Args:
        check: Looks at what can be read; raises ConfigError, whose ``field`` is the setting.
        named: As for ``read``.
    """
    try:
        document, lines = read_document(paths, environ, named=named)
    except ConfigError as error:
        return [str(error)]
    found: list[str] = []
    rest = _Rest(document, lines)
    more = ""
    while not more:
        try:
            check(load_document(rest.document, rest.lines, paths, environ))
        except ConfigError as error:
            if len(found) == MOST:
                more = f"and more than these {MOST}: mend them, and check again"
                break
            found.append(rest.words(error))
            if not rest.leave_out(error.field or ""):
                more = "and perhaps more: the rest cannot be looked at before that is mended"
        else:
            break
    return sorted(found, key=lambda text: _line(text, paths.config)) + [more] * bool(more)


def _line(text: str, file: Path) -> int:
    """Return the line that a text is about; 0 for none."""
    number, _, _ = text.removeprefix(f"{file}:").partition(":")
    return int(number) if number.isascii() and number.isdigit() else 0


class _Rest:
    """What is left of a configuration; the items of its lists keep the numbers that they had."""

    def __init__(self, document: dict[str, Any], lines: dict[str, int]) -> None:
        self.document = document
        self.lines = lines
        self._numbers: dict[str, list[int]] = {}

    def words(self, error: ConfigError) -> str:
        """Return the text of an error, with the numbers that items had."""
        return re.sub(r"\b([a-z_]+)\[(\d+)\]", self._number, str(error))

    def leave_out(self, field: str) -> bool:
        """Leave out a setting, or the item or section that it makes unusable; return whether."""
        # Of a setting that there is not, the name may be anything.
        match = re.match(r"([^\[.]+)(?:\[(\d+)\])?(?:\.([^\[.]+))?", field)
        if match is None or match[1] not in self.document:
            return False
        name, value = match[1], self.document[match[1]]
        group = next((each for each in TOGETHER if name in each), {name})
        if match[2] and isinstance(value, list) and int(match[2]) < len(value):
            self._leave_out_item(name, value, int(match[2]))
        elif isinstance(value, dict) and match[3] in value and len(group) == 1:
            del value[match[3]]
        else:
            for each in group:
                self.document.pop(each, None)
        return True

    def _leave_out_item(self, name: str, value: list[Any], index: int) -> None:
        self._numbers.setdefault(name, list(range(len(value)))).pop(index)
        del value[index]

        def moved(match: re.Match[str]) -> str:
            at = int(match[1])
            return f"$.{name}[{at - 1 if at > index else at}]"

        item = re.compile(rf"\$\.{name}\[(\d+)\]")
        gone = f"$.{name}[{index}]"
        self.lines = {
            item.sub(moved, key, count=1): line
            for key, line in self.lines.items()
            if key != gone and not key.startswith(f"{gone}.")
        }

    def _number(self, match: re.Match[str]) -> str:
        numbers, at = self._numbers.get(match[1], []), int(match[2])
        return f"{match[1]}[{numbers[at] if at < len(numbers) else at}]"
