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
"""Most quotations and list items within one another; a marker that is deeper is text."""

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
    Return the tasks of a text, as CommonMark 0.31 reads quotations, lists, fences and comments.

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


class _Container(msgspec.Struct):
    """
    A quotation or a list item that is open.

    Args:
        needs: The columns by which a line has to be indented to be in the item; 0 for a quotation.
        task: The index of the task that the item is.
        is_bare: Whether nothing is in the item yet: a blank line ends it then.
    """

    needs: int = 0
    task: int | None = None
    is_bare: bool = False


class _Reader:
    """Reads line by line; knows which quotations, lists and code a line is in."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.sections: set[str] = set()
        self._headings: list[tuple[int, str]] = []
        # From the outermost.
        self._containers: list[_Container] = []
        # What ends the code or the comment that is open in the innermost of them.
        self._end: re.Pattern[str] | None = None
        self._is_fence = False
        # The paragraph that the next line may go on with.
        self._paragraph: str | None = None

    @property
    def is_in_code(self) -> bool:
        """Whether a fence is open."""
        return self._end is not None and self._is_fence

    def read(self, number: int, line: str) -> None:
        """Take the next line."""
        rest, kept = self._within(line.expandtabs(4))
        if self._end is not None:
            if kept == len(self._containers):
                self._look_for(self._end, rest)
                return
            self._end = None  # what it was in is over
        while text := rest.strip() and rest.lstrip(" "):
            indent = len(rest) - len(text)
            if indent >= 4 or not self._begins(text, kept):
                self._go_on(text, indent, kept)
                return
            del self._containers[kept:]
            self._paragraph = None
            inner = self._block(number, text, indent)
            if inner is None:
                return
            rest, kept = inner, len(self._containers)
        del self._containers[kept:]
        self._paragraph = None

    def _within(self, line: str) -> tuple[str, int]:
        """Return what a line holds within the containers, and in how many of them it is."""
        for number, each in enumerate(self._containers):
            text = line.lstrip(" ")
            indent = len(line) - len(text)
            if not each.needs:
                if indent >= 4 or not text.startswith(">"):
                    return line, number
                line = text[1:].removeprefix(" ")
            elif each.is_bare if not text.strip() else indent < each.needs:
                return line, number
            else:
                each.is_bare = False
                line = line[each.needs :]
        return line, len(self._containers)

    def _look_for(self, end: re.Pattern[str], rest: str) -> None:
        """Close what is open where a line ends it."""
        if self._is_fence:
            text = rest.lstrip(" ")
            found = end.match(text) if len(rest) - len(text) < 4 else None
        else:
            found = end.search(rest)
        if found:
            self._end = None

    def _go_on(self, text: str, indent: int, kept: int) -> None:
        """Take a line that goes on with a paragraph, lazily if not within all that it is in."""
        if self._paragraph is None:
            del self._containers[kept:]
        if indent < 4 and not (kept == len(self._containers) and self._is_underline(text)):
            self._paragraph = text

    def _begins(self, text: str, kept: int) -> bool:
        """
        Tell whether a line begins something, and does not go on with a paragraph.

        Args:
            kept: The number of containers that it is in; the paragraph is in all that are open.
        """
        paragraph = self._paragraph if kept == len(self._containers) else None
        if text[0] == ">":
            return kept < MAX_NESTED
        found = _MARKER.match(text)
        if found and not _RULE.match(text):
            if paragraph is None or kept >= MAX_NESTED:
                return kept < MAX_NESTED
            return bool((found[4] or "").strip()) and found[2] in (None, "1")
        if text[0] not in "`~#<%*-_":
            return False
        if paragraph is not None and text[0] == "-" and _UNDERLINE.match(text):
            return False
        return bool(
            _FENCE.match(text)
            or _HEADING.match(text)
            or text.startswith("<!--")
            or _HIDING.match(text)
            or text.rstrip() == "%%"
            or _RULE.match(text)
        )

    def _block(self, number: int, text: str, indent: int) -> str | None:
        """Take what begins; return what is left of the line within a container that it opens."""
        if text[0] == ">":
            self._containers.append(_Container())
            return text[1:].removeprefix(" ")
        if _RULE.match(text):
            return None
        if found := _MARKER.match(text):
            return self._item(number, found, indent)
        if found := _FENCE.match(text):
            mark = found[1] or found[2]
            end = re.compile(rf"{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$")
            self._open(end, is_fence=True)
        elif found := _HEADING.match(text):
            if not self._containers:
                self._head(found.end(), _unclosed(text[found.end() :]))
        else:
            self._hide(text)
        return None

    def _hide(self, text: str) -> None:
        """Leave out a comment, or HTML that is no text, unless it ends in its first line."""
        if text.startswith("<!--"):
            end, rest = "-->", text[4:]
        elif text.startswith("%%"):
            end, rest = r"%%\s*$", ""
        else:
            end, rest = "</(?:pre|script|style|textarea)>", text
        if not re.search(end, rest, re.IGNORECASE):
            self._open(re.compile(end, re.IGNORECASE))

    def _item(self, number: int, found: re.Match[str], indent: int) -> str | None:
        """Take a list item; return the rest of its line, unless it is a task."""
        space, rest = found[3] or "", found[4] or ""
        is_bare = not rest.strip()
        # Of five columns or more the others are the indent of code in the item.
        width = len(space) if 1 <= len(space) <= 4 and not is_bare else 1
        item = _Container(indent + len(found[1]) + width, is_bare=is_bare)
        self._containers.append(item)
        if len(space) == width and (box := _BOX.match(rest)):
            self._task(number, box)
            self._paragraph = rest
            return None
        return space[width:] + rest

    def _task(self, number: int, box: re.Match[str]) -> None:
        status = STATES.get(box[1])
        # No two blanks in a row: what is looked for next would go through them again and again.
        written = " ".join(_uncommented(_CONTROL.sub(" ", box[2])).split())
        ref, title = _named(written)
        title = " ".join(_ENDED.sub("", title).split())[:MAX_TITLE]
        if status is None or not title:
            return
        outer = (each.task for each in reversed(self._containers) if each.task is not None)
        parent = next(outer, None)
        section = " / ".join(text for _, text in self._headings)[:MAX_TITLE]
        self._containers[-1].task = len(self.items)
        self.items.append(Item(title, status, number, section, parent, ref))

    def _is_underline(self, text: str) -> bool:
        """Take a line that makes a heading of the paragraph before it; tell whether it is one."""
        if self._paragraph is None or not _UNDERLINE.match(text):
            return False
        if not self._containers:
            self._head(1 if text[0] == "=" else 2, self._paragraph)
        self._paragraph = None
        return True

    def _head(self, level: int, text: str) -> None:
        words = " ".join(_uncommented(_CONTROL.sub(" ", text)).split())[:MAX_TITLE]
        self._headings = [each for each in self._headings if each[0] < level]
        self._headings.append((level, words))
        self.sections.add(" / ".join(text for _, text in self._headings)[:MAX_TITLE])

    def _open(self, end: re.Pattern[str], *, is_fence: bool = False) -> None:
        self._end, self._is_fence = end, is_fence


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


@lru_cache(maxsize=65_536)
def essence(title: str) -> str:
    """Return what two titles have in common that say the same: no marks, no dates, no case."""
    return " ".join(re.sub(r"[*_~`]+", "", _DATED.sub("", title)).casefold().split())
