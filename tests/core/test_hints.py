"""What a condition's hints say: no event fulfils it that has none of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtevents.core.event import Entry, Event
from rtevents.core.hints import hints_of
from rtevents.core.where import Where
from tests.wheres import Made, conditions, events


@given(conditions, st.lists(events, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_whatever_fulfils_a_condition_has_one_of_its_hints(made: Made, given: list[Event]) -> None:
    where = Where(made[0])
    hints = hints_of(where.node)
    for seq, event in enumerate(given, 1):
        entry = Entry.of(event, seq)
        if where.matches(entry):
            assert hints is None or any(hint in entry.wire for hint in hints)


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ('data.change_type == "deleted" and not data.cause exists', (b'"deleted"',)),
        ('data.status in ["a", "b"] or data.exit_code > 0', (b'"a"', b'"b"', b'"exit_code"')),
        ('data.status != "a"', None), ('not data.status == "a"', None),
        ('data.x contains "ab"', (b"ab",)), ('data.x contains ""', (b'"x"',)),
        ("data.files.0.path exists", (b'"path"',)), ('data.x == "\\u00e9"', (b'"x"',)),
        ('path matches "a/**"', (b'"a/',)), ('path matches "**/*"', None),
        ('data.files.path matches "**/a.py"', (b'a.py"',)), ('data.x matches "*"', (b'"x"',)),
        ('path == "a"', (b'"a"',)), ('path != "a"', None), ("path exists", None),
        ("seq > 5", None), ('data.x == "a\\"b"', (b'"x"',)),
        ('type == "X"', None), ('type == "X" and (data.a == 1 or data.b == 2)', (b'"a"', b'"b"')),
    ],
)  # fmt: skip
def test_a_hint_is_a_text_or_the_name_of_a_field(
    text: str, hints: tuple[bytes, ...] | None
) -> None:
    assert hints_of(Where(text).node) == hints
