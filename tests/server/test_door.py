"""The door: what is said to who finds no room."""

from __future__ import annotations

import pytest

from rtevents.server.door import Door, Limits, NoRoom


def test_each_refusal_is_an_error_of_its_own() -> None:
    """One that is raised again and again would keep every request that it was raised in."""
    door = Door(Limits(connections=0))
    refusals = []
    for _ in range(2):
        with pytest.raises(NoRoom) as refused:
            door.check_stream()
        refusals.append(refused.value)

    assert refusals[0] is not refusals[1]
