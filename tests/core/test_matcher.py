"""Which of many filters want which entries."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from rtevents.core.matcher import Matcher

NAMES = st.frozensets(st.sampled_from(["A", "B", "C"]), max_size=2)
FILTERS = st.just(Filter()) | st.builds(
    Filter,
    types=NAMES,
    not_types=NAMES,
    projects=NAMES,
    sources=NAMES,
    paths=st.frozensets(st.sampled_from(["a/*", "**/b"]), max_size=1),
)
ENTRIES = st.builds(
    Entry,
    seq=st.integers(1, 99),
    event_id=st.just("x"),
    type=st.sampled_from(["A", "B", "C", "D"]),
    project_id=st.sampled_from([None, "A", "B", "D"]),
    source=st.sampled_from(["", "A", "B", "D"]),
    path=st.sampled_from(["", "a/b", "c"]),
    timestamp=st.just(0.0),
    wire=st.just(b""),
)


@settings(deadline=None)
@given(
    wanted=st.lists(FILTERS, max_size=12),
    gone=st.sets(st.integers(0, 11)),
    pages=st.lists(st.lists(ENTRIES, max_size=8), max_size=3),
)
def test_it_finds_what_asking_each_filter_would(
    wanted: list[Filter], gone: set[int], pages: list[list[Entry]]
) -> None:
    matcher = Matcher()
    added = [matcher.add(one) for one in wanted]
    for number, matched in enumerate(added):
        if number in gone:
            matcher.remove(matched)
    left = {one for number, one in enumerate(wanted) if number not in gone}

    for page in pages:
        found = {matched.wanted: list(matched.entries) for matched in matcher.match(page)}
        asked = {one: [entry for entry in page if one.matches(entry)] for one in left}
        everything = Filter()
        assert {one: some for one, some in found.items() if some or one != everything} == {
            one: some for one, some in asked.items() if some
        }


def entry(number: int, project_id: str = "web") -> Entry:
    """Return an entry."""
    return Entry(number, f"e{number}", "A", project_id, "", "", 0.0, b"")


def test_equal_filters_share_a_place_until_the_last_goes() -> None:
    matcher = Matcher()
    first, second = (matcher.add(Filter(types=frozenset({"A"}))) for _ in range(2))
    assert first is second

    matcher.remove(first)
    assert [matched.wanted for matched in matcher.match([entry(1)])] == [first.wanted]
    matcher.remove(second)
    assert matcher.match([entry(1)]) == []


def test_an_entry_is_shown_only_to_filters_that_ask_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten thousand filters cost an entry that one of them wants no more than one filter does."""
    matcher = Matcher()
    for number in range(10_000):
        matcher.add(Filter(projects=frozenset({f"p{number}"})))
    shown: list[Filter] = []
    monkeypatch.setattr(Filter, "matches", lambda one, _: shown.append(one))

    [matched] = matcher.match([entry(1, project_id="p77")])

    assert matched.entries == [entry(1, project_id="p77")]
    assert shown == []


def test_who_wants_everything_gets_the_page_itself() -> None:
    matcher = Matcher()
    everything = matcher.add(Filter())
    page = [entry(1), entry(2)]

    [matched] = matcher.match(page)
    assert matched.entries is page
    matcher.remove(everything)
    assert matcher.match(page) == []


def test_a_filter_with_several_keys_is_asked_for_the_others() -> None:
    matcher = Matcher()
    matcher.add(Filter(projects=frozenset({"web"}), types=frozenset({"A"})))
    matcher.add(Filter(projects=frozenset({"web"}), types=frozenset({"B"})))
    matcher.add(Filter(paths=frozenset({"a"})))

    [matched] = matcher.match([entry(1), entry(2, "api"), entry(3)])

    assert [one.seq for one in matched.entries] == [1, 3]


def test_a_filter_for_everything_is_forgotten_too() -> None:
    matcher = Matcher()
    matcher.remove(matcher.add(Filter()))

    assert matcher.match([Entry(1, "x", "A", None, "", "", 0.0, b"")]) == []
