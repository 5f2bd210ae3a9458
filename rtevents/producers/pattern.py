"""Pattern: one line of a .gitignore, read as git reads it (dir.c and wildmatch.c of git 2.39)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

SPECIAL = re.compile(rb"[*?\[\\]")
"""Where the part of a pattern ends that git compares byte by byte."""

STAR = rb"[^/]*"
DEEP = rb"(?:.*/)?"
DEEPER = rb".*"
"""What stars become: one star; two and a slash; two at the end."""

CLASSES = {
    b"alnum": rb"0-9A-Za-z",
    b"alpha": rb"A-Za-z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"!-~",
    b"lower": rb"a-z",
    b"print": rb" -~",
    b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t\n\r\v\f",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}


class Origin(msgspec.Struct, frozen=True):
    """
    Where a pattern is written.

    Args:
        file: The file's path; the name of the setting for one that is in none.
        line: Its number, from 1.
        text: The line itself.
    """

    file: str
    line: int
    text: str


class Pattern(msgspec.Struct, frozen=True):
    """
    One pattern.

    Args:
        origin: Where it is written.
        regex: What it matches, whole.
        hides: Whether what matches is hidden; else it is shown.
        is_for_folders: Whether it matches folders alone.
        is_for_names: Whether it looks at the last part of a path alone.
    """

    origin: Origin
    regex: re.Pattern[bytes]
    hides: bool
    is_for_folders: bool
    is_for_names: bool

    @classmethod
    def parse(cls, line: bytes, origin: Origin, *, any_case: bool = False) -> Pattern | None:
        """
        Return the pattern of a line; None when there is none in it, or one git never matches.

        Args:
            any_case: Whether `A` and `a` are the same, as with `core.ignoreCase`: the pattern is
                then for paths in small letters.
        """
        text = _trim(line)
        if not text or text.startswith(b"#"):
            return None
        hides = not text.startswith(b"!")
        text = text.removeprefix(b"!")
        is_for_folders = text.endswith(b"/")
        text = text[:-1] if is_for_folders else text
        is_for_names = b"/" not in text
        regex = _translate(text.removeprefix(b"/"), any_case=any_case)
        if not text or regex is None:
            return None
        return cls(origin, re.compile(regex, re.DOTALL), hides, is_for_folders, is_for_names)

    def matches(self, path: bytes, name: bytes, *, is_folder: bool) -> bool:
        """
        Tell whether it matches a path itself: what is in a matched folder is not asked here.

        Args:
            path: Relative to the folder of the ignore file.
            name: Its last part.
        """
        if self.is_for_folders and not is_folder:
            return False
        return self.regex.fullmatch(name if self.is_for_names else path) is not None


def _trim(line: bytes) -> bytes:
    """Cut the spaces at the end, save one behind a backslash."""
    cut = line.rstrip(b" ")
    backslashes = len(cut) - len(cut.rstrip(b"\\"))
    return line[: len(cut) + 1] if backslashes % 2 else cut


def _translate(text: bytes, *, any_case: bool) -> bytes | None:
    """Return a regular expression; None for what git never matches."""
    found = SPECIAL.search(text)
    at = start = found.start() if found else len(text)
    plain = text.lower() if any_case else text
    parts = [re.escape(plain[:at])]
    while at < len(text):
        match text[at : at + 1]:
            case b"*":
                part, at = _stars(text, at, start)
            case b"?":
                part, at = b"[^/]", at + 1
            case b"[":
                found_set = _set(text, at + 1, any_case=any_case)
                if found_set is None:
                    return None
                part, at = found_set
            case b"\\" if at + 1 == len(text):
                return None
            case b"\\":
                part, at = re.escape(plain[at + 1 : at + 2]), at + 2
            case _:
                part, at = re.escape(plain[at : at + 1]), at + 1
        parts.append(part)
    return _join(parts)


def _stars(text: bytes, at: int, start: int) -> tuple[bytes, int]:
    """
    Translate a run of stars: two between slashes cross folders.

    Args:
        start: Where git begins to look for stars: what is before is no neighbour of them.
    """
    end = at
    while text[end : end + 1] == b"*":
        end += 1
    is_bounded = at == start or text[at - 1 : at] == b"/"
    rest = text[end:]
    if end - at < 2 or not is_bounded or (rest and not rest.startswith((b"/", b"\\/"))):
        return STAR, end
    return (DEEP, end + 1) if rest.startswith(b"/") else (DEEPER, end)


def _join(parts: Sequence[bytes]) -> bytes:
    """
    Join what was translated, so that no pattern of a stranger's takes for ever.

    Before another star the nearest match is as good as any: it is never tried again.
    """
    runs: list[list[bytes]] = [[]]
    for part in parts:
        if part in (DEEP, DEEPER):
            runs.append([part])
        else:
            runs[-1].append(part)
    return _once([_join_stars(run) for run in runs])


def _join_stars(parts: Sequence[bytes]) -> bytes:
    """Join a run of parts in which single stars may be."""
    runs = [b""]
    for part in parts:
        if part == STAR:
            runs.append(STAR)
        else:
            runs[-1] += part
    return _once(runs)


def _once(runs: Sequence[bytes]) -> bytes:
    """Join runs, each but the first beginning with a star; all but the last of those match once."""
    first, *middle = runs
    last = middle.pop() if middle else b""
    return first + b"".join(b"(?>%b)" % _lazy(run) for run in middle) + last


def _lazy(run: bytes) -> bytes:
    """Return a run whose star takes as little as it can."""
    for star, lazy in ((STAR, b"[^/]*?"), (DEEP, b"(?:.*?/)??"), (DEEPER, b".*?")):
        if run.startswith(star):
            return lazy + run[len(star) :]
    return run


def _set(text: bytes, at: int, *, any_case: bool) -> tuple[bytes, int] | None:
    """Translate ``[...]``, which begins before `at`; None when it does not end."""
    is_negated = text[at : at + 1] in (b"!", b"^")
    at += is_negated
    first, before, members = at, b"", b""
    while at == first or text[at : at + 1] != b"]":
        found = _member(text, at, before, any_case=any_case)
        if found is None:
            return None
        more, before, at = found
        members += more
    if not members:
        return (b"[^/]" if is_negated else b"(?!)"), at + 1
    return (b"(?!/)[^%b]" if is_negated else b"(?!/)[%b]") % members, at + 1


def _member(
    text: bytes, at: int, before: bytes, *, any_case: bool
) -> tuple[bytes, bytes, int] | None:
    """
    Translate one member of a set.

    Args:
        before: The byte from which a range can go; empty for none.
    Returns:
        The member, the byte from which the next can be a range, and where that one is. None when
        the text ends.
    """
    char, after = text[at : at + 1], text[at + 1 : at + 2]
    if char == b"-" and before and after not in (b"", b"]"):
        at += 2 if after == b"\\" else 1
        last = text[at : at + 1]
        range_ = _range(before, last)
        if any_case:
            # Of sets, git takes ranges and classes in any case, but no single letters.
            range_ += _range(max(before, b"A").lower(), min(last, b"Z").lower())
        return (range_, b"", at + 1) if last else None
    if char == b"[" and after == b":":
        end = text.find(b"]", at + 2)
        if end < 0:
            return None
        if end > at + 2 and text[end - 1 : end] == b":":
            name = text[at + 2 : end - 1]
            members = CLASSES.get(b"alpha" if any_case and name == b"upper" else name)
            return (members, b"", end + 1) if members else None
    elif char == b"\\":
        at, char = at + 1, after
    return (_range(char, char), char, at + 1) if char else None


def _range(first: bytes, last: bytes) -> bytes:
    """Return a range of bytes; nothing for one that is upside down."""
    return b"\\x%02x-\\x%02x" % (first[0], last[0]) if first <= last else b""
