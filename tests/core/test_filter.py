"""Which events a reader wants, and which it may have."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtevents.core.event import Entry, Event
from rtevents.core.filter import (
    INCLUDES,
    MAX_PATTERNS,
    MAX_VALUES,
    OWNER,
    Filter,
    Grant,
    condition,
    parse_filter,
)
from rtevents.core.glob import MAX_GLOB, Glob
from rtevents.core.paths import MAX_TEXT, paths_of
from rtevents.core.payloads import EventTypes
from rtevents.errors import FilterError, NotAllowed

TYPES = EventTypes({"DEPLOY": None})


def entry(
    kind: str = "COMMIT", project: str | None = "web", source: str = "s", path: str = ""
) -> Entry:
    """Return an entry."""
    return Entry.of(
        Event(type=kind, data={"path": path}, project_id=project, source=source), 1
    )  # fmt: skip


def wanted(**query: list[str]) -> Filter:
    """Return the filter of a query."""
    return parse_filter(query, TYPES)


def test_an_empty_filter_wants_everything() -> None:
    assert Filter().is_everything
    assert Filter().matches(entry())
    assert Filter().as_dict() == {}
    assert not wanted(type=["COMMIT"]).is_everything


@pytest.mark.parametrize(
    ("query", "hits", "misses"),
    [
        ({"type": ["commit,risk-alert"]}, entry("RISK_ALERT"), entry("DEPLOY")),
        ({"type": ["commit", "deploy"]}, entry("DEPLOY"), entry("RISK_ALERT")),
        ({"not_type": ["COMMIT"]}, entry("DEPLOY"), entry("COMMIT")),
        ({"project": ["web", "api"]}, entry(project="api"), entry(project=None)),
        ({"source": ["a,b"]}, entry(source="a,b"), entry(source="a")),
        ({"path": ["src/**"]}, entry(path="src/a/b"), entry(path="doc/a")),
        ({"path": ["a,b", "c"]}, entry(path="a,b"), entry(path="a")),
        ({"type": ["COMMIT"], "project": ["web"]}, entry(), entry(project="api")),
    ],
)
def test_one_key_is_or_and_several_keys_are_and(
    query: dict[str, list[str]], hits: Entry, misses: Entry
) -> None:
    found = wanted(**query)

    assert found.matches(hits)
    assert not found.matches(misses)


def test_a_filter_comes_back_from_its_query() -> None:
    one = wanted(
        type=["COMMIT", "DEPLOY"], not_type=["RISK_ALERT"], project=["web"], source=["x,y"],
        path=["a/**", "b,c"],
    )  # fmt: skip
    query: dict[str, list[str]] = {}
    for key, value in one.as_query():
        query.setdefault(key, []).append(value)

    assert wanted(**query) == one
    assert one.as_dict() == query


def test_an_unknown_type_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(FilterError, match="did you mean DEPLOY") as caught:
        wanted(type=["deploi"])
    assert caught.value.field == "type"
    with pytest.raises(FilterError):
        wanted(not_type=["xyz"])


def test_a_filter_is_bounded() -> None:
    with pytest.raises(FilterError, match=f"{MAX_VALUES} at most"):
        wanted(project=["x"] * (MAX_VALUES + 1))
    for glob in ("x" * (MAX_GLOB + 1),):
        with pytest.raises(FilterError, match="a glob of"):
            wanted(path=[glob])
    for key, text in (("path", "x" * MAX_GLOB), ("where", "seq == 1" + " " * 1016)):
        many = [f"{text[:-3]}{number:>3}" for number in range(MAX_PATTERNS // MAX_GLOB + 1)]
        with pytest.raises(FilterError, match=f"{key}: .* characters, {MAX_PATTERNS} at most"):
            wanted(**{key: many})
    with pytest.raises(FilterError, match="a glob of 0"):
        Glob("")


@pytest.mark.parametrize(
    ("glob", "hits", "misses"),
    [
        ("*.py", ["a.py", ".py"], ["a/b.py", "a.pyc", ""]),
        ("src/*", ["src/a"], ["src/a/b", "src"]),
        ("src/**", ["src/a", "src/a/b"], ["src", "a/src/b"]),
        ("src/", ["src/a", "src/a/b"], ["src"]),
        ("**/*.py", ["a.py", "x/y/a.py"], ["a.txt"]),
        ("**/a*b", ["ab", "x/acb", "x/ac/ab"], ["ab/c"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/b/c", "b"]),
        ("**/x/**/y", ["x/y", "a/x/b/x/c/y"], ["a/x/b/x/c/z"]),
        ("?.[ch]", ["a.c", "b.h"], ["ab.c", "a.x", "/.c"]),
        ("[!a]b", ["cb"], ["ab"]),
        ("**", ["a", "a/b"], []),
        ("a[b", ["a[b"], ["ab"]),
        ("a\nb", ["a\nb"], ["a"]),
    ],
)
def test_a_glob_is_as_git_has_it(glob: str, hits: list[str], misses: list[str]) -> None:
    assert [path for path in hits if not Glob(glob).matches(path)] == []
    assert [path for path in misses if Glob(glob).matches(path)] == []


@given(
    st.lists(st.sampled_from(["**", "*", "a", "b*", "?"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["a", "b", "ba", "bb"]), min_size=1, max_size=6),
)
def test_a_glob_is_what_its_slow_regular_expression_is(parts: list[str], path: list[str]) -> None:
    if parts[-1] == "**":
        parts = [*parts, "*"]
    pattern = "".join(
        "(?:[^/]+/)*" if part == "**" else part.replace("*", "[^/]*").replace("?", "[^/]") + "/"
        for part in parts
    )
    slow = re.fullmatch(pattern, "/".join(path) + "/") is not None

    assert Glob("/".join(parts)).matches("/".join(path)) == slow


@given(
    st.lists(st.sampled_from(["**", "*", "a", "b*", '"q"', "[ab]", "ü", "\\", "a[b"]), min_size=1),
    st.lists(st.sampled_from(["a", "b", "ba", '"q"', "ü", "\\", "a[b"]), min_size=1, max_size=6),
)
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_whatever_has_a_path_of_a_glob_has_its_hint(parts: list[str], path: list[str]) -> None:
    glob = Glob("/".join(parts))
    for listed in ({"file_path": "/".join(path)}, {"files": [{"path": "/".join(path)}]}):
        if glob.matches("/".join(path)):
            assert glob.hint in Event(type="DEPLOY", data=listed).body


@pytest.mark.parametrize(
    ("glob", "hint"),
    [
        ("src/**", b'"src/'), ("src/", b'"src/'), ("src/a.py", b'"src/a.py"'),
        ("**/long_name.py", b'long_name.py"'), ("**", b""), ('a"b', b""), ("ü", b""), ("*", b""),
    ],
)  # fmt: skip
def test_a_hint_is_how_a_path_begins_or_ends(glob: str, hint: bytes) -> None:
    assert Glob(glob).hint == hint


COMMIT = {
    "commit_hash": "a" * 40, "message": "m", "author": "a",
    "files": [{"path": "lib/b.py", "insertions": 1}, {"path": "src/a.py", "old_path": "old/a.py"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "glob", "is_wanted"),
    [
        (COMMIT, "src/**", True), (COMMIT, "src/a.py", True), (COMMIT, "old/*", True),
        (COMMIT, "lib/*.py", True), (COMMIT, "src/b.py", False), (COMMIT, "**/*.md", False),
        ({"files": ["src/a.py", 7, None, {"path": 1}]}, "src/*", True),
        ({"files": "src/a"}, "src/*", False),
        ({"file_path": "lib/a.py", "old_path": "src/a.py"}, "src/*", True),
        ({"file_path": "lib/a.py", "text": "src/a.py"}, "src/*", False),
        ({"message": '"files":["src/a.py"]'}, "src/*", False),
        ({"message": "m"}, "**", False), ({"files": []}, "**", False), (COMMIT, "**", True),
    ],
)  # fmt: skip
def test_an_event_is_found_by_any_of_its_files(
    data: dict[str, Any], glob: str, is_wanted: bool
) -> None:
    entry = Entry.of(Event(type="COMMIT", data=data), 1)

    assert wanted(path=[glob]).matches(entry) is is_wanted
    assert condition(f"path matches '{glob}'").matches(entry) is is_wanted


def test_of_an_event_so_many_files_are_looked_at() -> None:
    """A publisher's event is a MiB, and a reader's globs are 256."""
    files = [{"path": f"{number:06}/" + "x/" * 100} for number in range(4000)]
    entry = Entry.of(Event(type="DEPLOY", data={"files": files}), 1)

    assert sum(map(len, paths_of(entry))) <= MAX_TEXT
    assert wanted(path=["000600/**"]).matches(entry)
    assert not wanted(path=["003999/**"]).matches(entry)


def test_a_hostile_glob_is_quick() -> None:
    glob = Glob("**/" * 100 + "*a" * 100 + "b")

    assert not glob.matches("/".join(["a" * 200] * 200))


def test_a_grant_narrows_what_is_asked_for() -> None:
    grant = Grant(role="viewer", projects=frozenset({"web"}), types=frozenset({"COMMIT"}))

    assert grant.narrow(Filter()) == Filter(
        projects=frozenset({"web"}), types=frozenset({"COMMIT"})
    )
    assert grant.narrow(wanted(project=["web"])).projects == {"web"}
    with pytest.raises(NotAllowed, match="does not hold project 'api'"):
        grant.narrow(wanted(project=["web", "api"]))
    with pytest.raises(NotAllowed, match="does not hold type 'DEPLOY'"):
        grant.narrow(wanted(type=["DEPLOY"]))
    assert OWNER.narrow(wanted(project=["web"])) == wanted(project=["web"])
    only = Grant(role="viewer", projects=frozenset({"web"}))
    assert only.narrow(wanted(type=["COMMIT"])) == Filter(
        projects=frozenset({"web"}), types=frozenset({"COMMIT"})
    )


def test_a_grant_permits_what_it_holds() -> None:
    grant = Grant(role="publisher", projects=frozenset({"web"}), types=frozenset({"COMMIT"}))

    assert grant.permits("COMMIT", "web")
    assert not grant.permits("COMMIT", None)
    assert not grant.permits("DEPLOY", "web")
    assert OWNER.permits("ANYTHING", None)


def test_roles_include_one_another() -> None:
    assert OWNER.allows("admin")
    assert not Grant(role="viewer").allows("publisher")
    assert not Grant(role="browser").allows("publisher")
    assert INCLUDES["anonymous"] == set()


def test_a_grant_holds_what_it_would_not_narrow() -> None:
    grant = Grant(role="admin", projects=frozenset({"web", "api"}))

    assert grant.is_limited
    assert grant.visible == Filter(projects=frozenset({"web", "api"}))
    assert grant.holds(wanted(project=["web"], type=["COMMIT"]))
    assert not grant.holds(wanted(project=["web", "other"]))
    assert not grant.holds(wanted(type=["COMMIT"]))
    assert OWNER.holds(Filter())


def test_a_grant_covers_what_may_do_nothing_more() -> None:
    mine = Grant(role="admin", projects=frozenset({"web"}))

    assert mine.covers(Grant(role="viewer", projects=frozenset({"web"})))
    assert not mine.covers(Grant(role="viewer"))
    assert not mine.covers(Grant(role="viewer", projects=frozenset({"api"})))
    assert not mine.covers(Grant(role="owner", projects=frozenset({"web"})))
