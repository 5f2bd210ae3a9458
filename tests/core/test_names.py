"""The names that an event carries."""

from __future__ import annotations

from rtevents.core.names import is_project_id, is_type_name, new_event_id, type_name


def test_ids_are_unique_and_in_the_order_of_their_making() -> None:
    ids = [new_event_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)


def test_names_have_a_form() -> None:
    assert type_name(" risk-alert ") == "RISK_ALERT"
    assert is_type_name("A1_")
    assert not is_type_name("A\n")
    assert is_project_id("mein projekt ü")
    assert not is_project_id("a\x9bb")
