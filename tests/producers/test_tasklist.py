"""Task lists are read as CommonMark reads lists: markdown-it-py is the oracle."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rtevents.producers.tasklist import parse

BOX = "[ ] ", "[x] ", "[/] ", ""


def oracle(text: str) -> list[tuple[int, str]]:
    """Return line and words of every task, as a whole parser of Markdown finds them."""
    found, opened = [], False
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "list_item_open":
            opened = True
        elif token.type == "inline":
            first = token.content.split("\n")[0]
            mark, words = first[:4], first[4:].strip()
            if opened and mark in ("[ ] ", "[x] ", "[/] ") and words and token.map:
                found.append((token.map[0] + 1, words))
            opened = False
        elif token.type == "heading_open" and token.markup in ("=", "-"):
            pass  # whoever underlines a task has one all the same
        elif token.type != "paragraph_open":
            opened = token.type in ("bullet_list_open", "ordered_list_open") and opened
    return found


def lines(*deeper: str) -> st.SearchStrategy[str]:
    """Return lines of which Markdown is made; `deeper` is how some are indented besides."""
    indent = st.sampled_from(["", "", "", " ", "  ", *deeper])
    # Where a line goes on with a paragraph though it is indented as code is, the oracle differs
    # from the specification: no item is so wide here that one could be.
    start = st.one_of(
        st.builds(str.__add__, indent, st.sampled_from(["- ", "* ", "+ ", "- - "])),
        st.sampled_from(["1. ", "2. ", "10) ", "-  ", "-     "]),
    )
    task = st.builds(lambda *parts: "".join(parts), start, st.sampled_from(BOX), st.just("words"))
    other = st.sampled_from(
        ["", "", "words", "# head", "```", "~~~", "````", "<!-- note", "-->", "<!-- a -->", "---",
         "===", "-", "1.", "- ", "***", "- - -", "<pre>", "a</pre>", "#", "#tag"]
    )  # fmt: skip
    return st.one_of(task, st.builds(lambda space, text: space + text, indent, other))


def quoted() -> st.SearchStrategy[str]:
    """Return lines that are quoted, or are not."""
    # Not indented as code is: there the oracle differs, of lazy lines, from the specification.
    quote = st.sampled_from(["", "", "", "> ", ">", "> > ", ">> ", "  > ", "- > ", ">\t", "> - "])
    return st.builds(str.__add__, quote, lines())


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.lists(lines("    ", "      ", "\t", "\t\t"), max_size=12), st.lists(quoted(), max_size=8)
    )
)
def test_tasks_are_where_markdown_has_them(written: list[str]) -> None:
    text = "\n\n" + "\n".join(written) + "\n"

    assert [(item.line, item.title) for item in parse(text).items] == oracle(text), text


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("- [ ] a", "open"), ("- [x] a", "done"), ("* [X] a", "done"), ("+ [/] a", "running"),
        ("1. [-] a", "cancelled"), ("2) [>] a", "deferred"), ("- [<] a", "scheduled"),
        ("- [!] a", "open"), ("> - [ ] a", "open"), ("- [x](there) a", None), ("- [ ]", None),
        ("- [ ]a", None), ("- [7] a", None), ("[ ] a", None), ("- [ ] <!-- a -->", None),
    ],
)  # fmt: skip
def test_each_form_has_its_state(line: str, status: str | None) -> None:
    assert [item.status for item in parse(line).items] == ([status] if status else [])


@pytest.mark.parametrize(
    ("written", "title", "ref"),
    [
        ("Write ^a-1", "Write", "^a-1"),
        ("Write 🆔 x1 ✅ 2026-01-02", "Write", "x1"),
        ("Write [id:: x1]", "Write", "x1"),
        ("T-12 Write", "T-12 Write", "T-12"),
        ("**T-12**: Write", "**T-12**: Write", "T-12"),
        ("[#12](there) Write", "[#12](there) Write", "#12"),
        ("Write (#12)", "Write (#12)", "#12"),
        ("Write what T-12 broke", "Write what T-12 broke", None),
        ("UTF-8 everywhere", "UTF-8 everywhere", None),
        ("Write <!-- soon --> it", "Write it", None),
    ],
)
def test_an_id_is_read_where_it_is_written(written: str, title: str, ref: str | None) -> None:
    (item,) = parse(f"- [ ] {written}").items

    assert (item.title, item.ref) == (title, ref)


def test_what_is_hidden_is_no_task() -> None:
    text = (
        "---\nx:\n- [ ] a\n---\n%%\n- [ ] b\n%%\n<!--\n- [ ] c\n-->\n```\n- [ ] d\n```\n- [ ] e\n"
    )

    assert [(item.line, item.title) for item in parse(text).items] == [(14, "e")]


@pytest.mark.parametrize(
    "text",
    [
        "- [ ] 1\n> Run this first:\n```\nmake\n- [ ] code\n```\n- [ ] 7",
        "> - [ ] 1\n- [ ] 2\n```\n- [ ] code\n```\n- [ ] 6",
        "> text\n<!--\n- [ ] hidden\n-->\n- [ ] 5",
        "> text\n# head\n- [ ] 3\n> a\n> - [ ] 5\n---\n- [ ] 7",
        "> ```\n> - [ ] code\n- [ ] 3",
        "```\n> quoted in code\n- [ ] code\n```\n- [ ] 5",
        "- [ ] 1\n  ```\n  > quoted in code\n  ```\n  - [ ] 5",
        "- [ ] 1\n  > note\n  goes on\n    - [ ] 4\n- [ ] 5",
        "> text\ngoes on\n> - [ ] 3\n>\n>       - [ ] code\n> > - [ ] 6",
        "> text\n    - [ ] goes on\n>\n- [ ] 4",
        "> > text\n> ~~~\n> - [ ] code\n> ~~~\n> - [ ] 5",
    ],
)
def test_a_quotation_ends_where_a_block_begins_outside_of_it(text: str) -> None:
    lines = [item.line for item in parse(text).items]

    numbers = [int(line[-1]) for line in text.split("\n") if line.endswith(tuple("1234567"))]
    assert lines == numbers == [line for line, _ in oracle(text)]


@pytest.mark.parametrize("text", ["", "\n", "\r", "- [ ] a\r\n- [ ] b\r- [ ] c", "\ufeff- [ ] a"])
def test_every_end_of_line_is_one(text: str) -> None:
    assert len(parse(text).items) == text.count("[")


@pytest.mark.parametrize(
    "line",
    [
        "- [ ] x" + " " * 200_000 + "y",
        "- [ ] x ^a" + " " * 200_000 + "y",
        "- [ ] x" + "<!--" * 50_000,
        "# a" + " " * 200_000 + "b",
        "- + " * 50_000 + "x",
        "*" + " *" * 100_000 + "x",
        ">" * 200_000 + "- [ ] x",
        ">" * 2_000 + "x\n" + "> x\n" * 50_000,
        (">" * 2_000 + "- [ ] x\n") * 2_000,
        ("\t" * 2_000 + "x\n") * 500,
        "<<<<<<< \n" * 50_000,
    ],
)
def test_a_hostile_line_takes_no_longer_than_another(line: str) -> None:
    """Reading it takes milliseconds; going through it again for each character takes minutes."""
    begun = time.process_time()
    parse(line)

    assert time.process_time() - begun < 5


def test_a_long_line_and_a_deep_list_are_read_up_to_a_bound() -> None:
    found = parse("- [ ] " + "long " * 2000 + "\n" + "- + " * 600 + "[ ] deep\n- [ ] next\n").items

    assert [item.line for item in found] == [1, 3]
    assert len(found[0].title) == 500


@pytest.mark.parametrize(
    ("heading", "section"),
    [("# a #", "a"), ("# a b ##  ", "a b"), ("# a#", "a#"), ("## #", ""), ("#\ta # b", "a # b")],
)
def test_what_closes_a_heading_is_no_word_of_it(heading: str, section: str) -> None:
    assert parse(f"{heading}\n- [ ] x").items[0].section == section
