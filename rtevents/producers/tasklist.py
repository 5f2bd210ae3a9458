"""The task lists of a Markdown text: `- [ ]`, `- [x]` and what GitHub and Obsidian add to them."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

MAX_TITLE = 500
"""Longest title, in characters; what is beyond is cut."""

MAX_LINE = 2048
"""Longest line, in characters; what is beyond is not looked at: it is a stranger's text, whose
reading must not take long."""

MAX_NESTED = 32
"""Most list items within one another; a marker that is deeper is text."""

STATES = {
    " ": "open",
    "x": "done",
    "X": "done",
    "/": "running",
    "-": "cancelled",
    ">": "deferred",
    "<": "scheduled",
    "!": "open",
    "?": "open",
    "*": "open",
}
"""The state for each mark in the box, as Obsidian's users have them; others are no task."""

_BOX = re.compile(r"\[(.)\][ \t]+(\S.*)")
_MARKER = re.compile(r"([-*+]|(\d{1,9})[.)])(?:([ \t]+)(.*)|$)")
_QUOTE = re.compile(r"(?: {0,3}> ?)+")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_HEADING = re.compile(r"#{1,6}(?![^ \t])")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*$")
_RULE = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_HIDING = re.compile(r"<(pre|script|style|textarea)(?=[\s>]|$)", re.IGNORECASE)
_OURS, _THEIRS = re.compile(r"<{7}(?: |$)"), re.compile(r">{7}(?: |$)", re.MULTILINE)

_KEY = r"(?!(?:UTF|SHA|ISO|RFC|MD|AES|RSA|IEC|IEEE|PEP|CVE|ASCII|GPT|COVID)-)[A-Z][A-Z0-9]{0,9}-\d+"
_BLOCK_ID = re.compile(r"(?:^|\s)(\^[A-Za-z0-9-]{1,64})\s*$")
_TASKS_ID = re.compile(r"🆔\ufe0f?\s*([A-Za-z0-9_-]{1,64})|\[id::\s*([A-Za-z0-9_-]{1,64})\s*\]")
_LEADING = re.compile(rf"[\[(*_`~]*({_KEY}|#\d{{1,9}})(?![\w-])")
_TRAILING = re.compile(rf"[\[(]({_KEY}|#\d{{1,9}})[\])]$")

_COMMENTS = (("<!--", "-->"), ("%%", "%%"))
_ENDED = re.compile(r"\s*[✅❌]\ufe0f?\s*\d{4}-\d\d-\d\d")
_DATED = re.compile(r"[➕⏳📅🛫🔁✅❌🔺⏫🔼🔽⏬]\ufe0f?\s*(?:\d{4}-\d\d-\d\d)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LINES = re.compile(r"\r\n|\n|\r")


class Item(msgspec.Struct, frozen=True):
    """
    One task, as it is written.

    Args:
        title: Its words, without ids and the date on which it was ended.
        status: Its state, one of `STATES`.
        line: Its line, from 1.
        section: The headings around it, from the outermost, with `` / `` between them.
        parent: The index of the task that it is nested in.
        ref: The id that is written with it.
    """

    title: str
    status: str
    line: int
    section: str
    parent: int | None
    ref: str | None


class TaskList(msgspec.Struct, frozen=True):
    """
    What a text holds.

    Args:
        items: The tasks, in their order.
        sections: Every heading, written as ``Item.section``.
        is_conflicted: Whether somebody has a merge to end first: nothing else is told of it then.
    """

    items: list[Item]
    sections: set[str]
    is_conflicted: bool = False


def parse(text: str) -> TaskList:
    """
    Return the tasks of a text, read as CommonMark 0.31 reads lists, fences and comments.

    What is in code, in comments, or in the front matter is no task.
    """
    reader = _Reader()
    lines = _LINES.split(text.removeprefix("\ufeff"))
    start = _after_front_matter(lines)
    may_be_conflicted = _THEIRS.search(text) is not None
    for number, line in enumerate(lines[start:], start + 1):
        if may_be_conflicted and _OURS.match(line) and not reader.is_in_code:
            return TaskList([], set(), is_conflicted=True)
        reader.read(number, line[:MAX_LINE])
    return TaskList(reader.items, reader.sections)


def _after_front_matter(lines: list[str]) -> int:
    """Return the index of the first line behind the front matter; 0 where there is none."""
    if lines[0].rstrip() == "---":
        for at, line in enumerate(lines[1:], 1):
            if line.rstrip() in ("---", "..."):
                return at + 1
    return 0


class _Reader:
    """Reads line by line; knows which lists, and which code, a line is in."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.sections: set[str] = set()
        self._headings: list[tuple[int, str]] = []
        # The open list items: the column of their content, and the task that each is.
        self._lists: list[tuple[int, int | None]] = []
        # What ends the code or the comment that is open, and the column of what it is in.
        self._end: re.Pattern[str] | None = None
        self._column = 0
        self._is_fence = False
        self._quotes = 0
        # The paragraph that the next line may go on with.
        self._paragraph: str | None = None

    @property
    def is_in_code(self) -> bool:
        """Whether a fence is open."""
        return self._end is not None and self._is_fence

    def read(self, number: int, line: str) -> None:
        """Take the next line."""
        line = self._unquoted(line)
        text = line.lstrip(" \t")
        indent = _width(line[: len(line) - len(text)])
        if self._end is not None and self._is_hidden(self._end, indent, text):
            return
        if not text.strip():
            self._paragraph = None
            return
        before = self._lists
        self._lists = [each for each in before if each[0] <= indent]
        is_sibling = len(self._lists) < len(before)
        column = self._lists[-1][0] if self._lists else 0
        if indent - column >= 4:
            if self._paragraph is not None:
                self._lists = before
            return
        if self._begins(text, column, is_sibling=is_sibling):
            self._paragraph = None
            self._block(number, text, indent, column)
        elif self._paragraph is not None and is_sibling:
            self._lists = before  # it goes on with a paragraph, lazily
        elif not self._is_underline(text):
            self._paragraph = text

    def _unquoted(self, line: str) -> str:
        """Return a line without the marks of a quotation; another depth ends every list."""
        found = _QUOTE.match(line)
        quotes = found[0].count(">") if found else 0
        if quotes != self._quotes and not (quotes == 0 and self._paragraph and line.strip()):
            self._quotes, self._lists, self._end, self._paragraph = quotes, [], None, None
        return line[found.end() :] if found else line

    def _is_hidden(self, end: re.Pattern[str], indent: int, text: str) -> bool:
        """Tell whether a line is in what is open, or ends it."""
        if text.strip() and indent < self._column:
            self._end = None  # the list item that it was in is over
            return False
        found = end.match(text) if self._is_fence else end.search(text)
        if found and not (self._is_fence and indent - self._column >= 4):
            self._end = None
        return True

    def _begins(self, text: str, column: int, *, is_sibling: bool) -> bool:
        """Tell whether a line begins something, and does not go on with a paragraph."""
        found = _MARKER.match(text)
        if found and not _RULE.match(text):
            if self._paragraph is None or is_sibling:
                return True
            return bool((found[4] or "").strip()) and found[2] in (None, "1")
        if text[0] not in "`~#<%*-_":
            return False
        if self._paragraph is not None and text[0] == "-" and _UNDERLINE.match(text):
            return is_sibling
        return bool(
            _FENCE.match(text)
            or _HEADING.match(text)
            or text.startswith("<!--")
            or _HIDING.match(text)
            or text.rstrip() == "%%"
            or _RULE.match(text)
        )

    def _block(self, number: int, text: str, indent: int, column: int) -> None:
        if _RULE.match(text):
            return
        if found := _MARKER.match(text):
            self._item(number, found, indent)
        elif found := _FENCE.match(text):
            mark = found[1] or found[2]
            end = re.compile(rf"{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$")
            self._open(end, column, is_fence=True)
        elif found := _HEADING.match(text):
            if not self._lists and not self._quotes:
                self._head(found.end(), _unclosed(text[found.end() :]))
        else:
            self._hide(text, column)

    def _hide(self, text: str, column: int) -> None:
        """Leave out a comment, or HTML that is no text, unless it ends in its first line."""
        if text.startswith("<!--"):
            end, rest = "-->", text[4:]
        elif text.startswith("%%"):
            end, rest = r"%%\s*$", ""
        else:
            end, rest = "</(?:pre|script|style|textarea)>", text
        if not re.search(end, rest, re.IGNORECASE):
            self._open(re.compile(end, re.IGNORECASE), column)

    def _item(self, number: int, found: re.Match[str], indent: int) -> None:
        """Take a list item, and what begins in its line."""
        space, rest = found[3] or "", found[4] or ""
        width = _width(space, indent + len(found[1]))
        # Of five columns or more the others are the indent of code in the item.
        width = width if 1 <= width <= 4 and rest.strip() else 1
        column = indent + len(found[1]) + width
        self._lists.append((column, None))
        if not rest.strip() or _width(space, indent + len(found[1])) > 4:
            return
        if box := _BOX.match(rest):
            self._task(number, box)
            self._paragraph = rest
        elif len(self._lists) < MAX_NESTED and self._begins(rest, column, is_sibling=False):
            self._block(number, rest, column, column)
        else:
            self._paragraph = rest

    def _task(self, number: int, box: re.Match[str]) -> None:
        status = STATES.get(box[1])
        # No two blanks in a row: what is looked for next would go through them again and again.
        written = " ".join(_uncommented(_CONTROL.sub(" ", box[2])).split())
        ref, title = _named(written)
        title = " ".join(_ENDED.sub("", title).split())[:MAX_TITLE]
        if status is None or not title:
            return
        column = self._lists[-1][0]
        parent = next((each for _, each in reversed(self._lists) if each is not None), None)
        section = " / ".join(text for _, text in self._headings)[:MAX_TITLE]
        self._lists[-1] = (column, len(self.items))
        self.items.append(Item(title, status, number, section, parent, ref))

    def _is_underline(self, text: str) -> bool:
        """Take a line that makes a heading of the paragraph before it; tell whether it is one."""
        if self._paragraph is None or not _UNDERLINE.match(text):
            return False
        if not self._lists and not self._quotes:
            self._head(1 if text[0] == "=" else 2, self._paragraph)
        self._paragraph = None
        return True

    def _head(self, level: int, text: str) -> None:
        words = " ".join(_uncommented(_CONTROL.sub(" ", text)).split())[:MAX_TITLE]
        self._headings = [each for each in self._headings if each[0] < level]
        self._headings.append((level, words))
        self.sections.add(" / ".join(text for _, text in self._headings)[:MAX_TITLE])

    def _open(self, end: re.Pattern[str], column: int, *, is_fence: bool = False) -> None:
        self._end, self._column, self._is_fence = end, column, is_fence


def _uncommented(text: str) -> str:
    """Return a text without the comments in it; one that does not end in it is none."""
    for begin, end in _COMMENTS:
        kept, at = [], 0
        while (begun := text.find(begin, at)) >= 0:
            ended = text.find(end, begun + len(begin))
            if ended < 0:
                break
            kept.append(text[at:begun])
            at = ended + len(end)
        text = "".join(kept) + text[at:]
    return text


def _unclosed(heading: str) -> str:
    """Return the words of a heading without the `#` that may close it."""
    words = heading.strip(" \t")
    bare = words.rstrip("#")
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else words


def _named(written: str) -> tuple[str | None, str]:
    """Return the id that is written with a task, if any, and the words without it."""
    if found := _BLOCK_ID.search(written):
        return found[1], written[: found.start()].rstrip()
    if found := _TASKS_ID.search(written):
        return found[1] or found[2], (written[: found.start()] + written[found.end() :]).strip()
    if found := _LEADING.match(written) or _TRAILING.search(_ENDED.sub("", written).rstrip()):
        return found[1], written
    return None, written


def _width(space: str, column: int = 0) -> int:
    """Return how many columns some blanks take that begin at a column; a tab goes to the fourth."""
    start = column
    for each in space:
        column += 4 - column % 4 if each == "\t" else 1
    return column - start


@lru_cache(maxsize=65_536)
def essence(title: str) -> str:
    """Return what two titles have in common that say the same: no marks, no dates, no case."""
    return " ".join(re.sub(r"[*_~`]+", "", _DATED.sub("", title)).casefold().split())
