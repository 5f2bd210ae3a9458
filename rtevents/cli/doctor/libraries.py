"""The libraries: whether those that are installed are the ones that are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from rtevents.cli.doctor.check import Check, ok, warning

REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)[^;]*>=(?P<least>[\d.]+)")


def libraries() -> Check:
    """
    Tell which libraries are older than what we ask for, which may have a known hole (S25).

    They were new enough when rtevents was installed; something else in the environment may have
    replaced them since.
    """
    old = [
        f"{name} {found}, asked for {least}"
        for name, least, found in _needed()
        if _numbers(found) < _numbers(least)
    ]
    if old:
        return warning(
            "libraries",
            f"older than what is safe: {'; '.join(old)}",
            "install rtevents anew, in an environment of its own: pipx install rtevents",
        )
    return ok("libraries", "none is older than what is asked for")


def _needed() -> Iterator[tuple[str, str, str]]:
    """Yield the name, the least version and the one that is there."""
    for requirement in requires("rtevents") or ():
        match = REQUIREMENT.match(requirement)
        if match is None or "extra ==" in requirement:
            continue
        try:
            yield match["name"], match["least"], version(match["name"])
        except PackageNotFoundError:
            yield match["name"], match["least"], "not there"


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]
