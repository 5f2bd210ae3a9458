"""Every fault and every attack that the README counts has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

FAULTS = frozenset(range(1, 43))
ATTACKS = frozenset(range(1, 27))


def named(letter: str) -> set[int]:
    """Return the numbers that tests name, as in ``F23 to F27`` or ``S4``."""
    found: set[int] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        if file == Path(__file__):
            continue
        pattern = rf"\b{letter}([0-9]{{1,2}})\b(?: to {letter}([0-9]{{1,2}})\b)?"
        for first, last in re.findall(pattern, file.read_text()):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_fault_is_tried() -> None:
    assert FAULTS - named("F") == set()


def test_every_attack_is_tried() -> None:
    assert ATTACKS - named("S") == set()


def test_the_readme_counts_them() -> None:
    told = f"{len(FAULTS)} faults and {len(ATTACKS)} attacks, each a test"

    assert told in (ROOT / "README.md").read_text()
