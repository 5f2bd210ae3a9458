"""What became of files, told from how they were and how they are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtevents.producers.change import Change, Seen, changes

NAMES = "abcde"


def seen(inode: int, size: int = 1) -> Seen:
    """Return a file."""
    return Seen(inode, 1, size, size, False)


def never(path: str, was: Seen) -> bool:
    """Say that a file that was written to is another."""
    return False


def always(path: str, was: Seen) -> bool:
    """Say that a number is always of the same file."""
    return True


def told(before: Mapping[str, Seen], now: Mapping[str, Seen]) -> list[tuple[str, ...]]:
    """Return what happened, in short."""
    return [
        (each.kind, each.path, *([each.old_path] if each.old_path else []))
        for each in changes(before, now, always)
    ]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"a": 1}, {"b": 1}, [("renamed", "b", "a")]),
        ({"a": 1}, {"a": 2, "b": 1}, [("renamed", "b", "a"), ("created", "a")]),
        ({"a": 1, "b": 2}, {"b": 1, "c": 2}, [("renamed", "c", "b"), ("renamed", "b", "a")]),
        ({"a": 1, "b": 2}, {"b": 1}, [("deleted", "a"), ("modified", "b")]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}, [("modified", "a"), ("modified", "b")]),
        ({"a": 1, "b": 1}, {"c": 1}, [("deleted", "b"), ("renamed", "c", "a")]),
        ({"a": 1}, {"a": 1, "b": 1}, [("created", "b")]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 3, "c": 1},
         [("renamed", "c", "a"), ("renamed", "a", "b"), ("created", "b")]),
    ],
)  # fmt: skip
def test_a_file_is_known_by_its_number(
    before: dict[str, int], now: dict[str, int], words: list[tuple[str, ...]]
) -> None:
    were = {path: seen(inode, inode) for path, inode in before.items()}
    are = {path: seen(inode, inode) for path, inode in now.items()}

    assert told(were, are) == words


def test_what_was_written_to_has_moved_only_where_it_is_known_to_be_the_same() -> None:
    before, now = {"a": seen(1, 1)}, {"b": seen(1, 2)}

    assert changes(before, now, always) == [Change("b", "renamed", old_path="a", size=2)]
    assert changes(before, now, never) == [Change("a", "deleted"), Change("b", "created", size=2)]


def test_a_file_noted_by_an_older_release_is_not_modified_by_that() -> None:
    was = Seen(1, 1, 1, 1)

    assert changes({"a": was}, {"a": Seen(1, 1, 1, 1, True)}, never) == []
    assert [each.kind for each in changes({"a": was}, {"a": seen(1, 2)}, never)] == ["modified"]


trees = st.dictionaries(
    st.sampled_from(NAMES), st.builds(seen, st.integers(1, 5), st.integers(1, 2))
)


@given(trees, trees, st.sampled_from([always, never]))
def test_applied_in_their_order_the_changes_give_what_is(
    before: dict[str, Seen], now: dict[str, Seen], is_same: object
) -> None:
    sizes = {path: each.size for path, each in before.items()}
    for change in changes(before, now, always if is_same is always else never):
        if change.kind == "created":
            assert change.path not in sizes
        elif change.kind == "renamed":
            assert change.path not in sizes
            del sizes[change.old_path or ""]
        elif change.kind == "deleted":
            assert change.path in sizes
        if change.kind == "deleted":
            del sizes[change.path]
        else:
            assert change.size is not None
            sizes[change.path] = change.size

    assert sizes == {path: each.size for path, each in now.items()}
