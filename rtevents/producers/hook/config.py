"""The hook as a section of the repository's configuration, which git runs since 2.54."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rtevents.errors import BadInput, NotAllowed
from rtevents.producers.ask import ask
from rtevents.producers.hook.block import BEGIN, END, block, without_block
from rtevents.producers.hook.file import NAME, mode, read

SINCE = (2, 54)
"""The first version of git that runs hooks of the configuration."""

SECTION = """\
{begin}
[hook "rtevents"]
\tevent = {event}
\tcommand = "{command}"
{end}
"""


def is_known(repository: Path) -> bool:
    """Tell whether git runs hooks of the configuration."""
    return version(repository) >= SINCE


def version(repository: Path) -> tuple[int, int]:
    """Return git's version, its first two numbers."""
    found = re.search(r"(\d+)\.(\d+)", ask(repository, "version"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def is_there(file: Path) -> bool:
    """Tell whether the hook is in a configuration."""
    text = read(file) or ""
    return without_block(text) != text


def is_enabled(repository: Path) -> bool:
    """Tell whether it is not switched off by what is configured besides."""
    try:
        told = ask(repository, "config", "--type=bool", "--get", "hook.rtevents.enabled")
    except BadInput:
        return True  # git fails where nothing is set
    return told != "false"


def put(file: Path) -> None:
    """
    Put the hook on top of a configuration: there it changes no other line, nor the file's end.

    Raises:
        NotAllowed: git is changing it.
        OSError: It cannot be written.
    """
    _change(file, _with_section)


def take_out(file: Path) -> None:
    """
    Take the hook out of a configuration, which is as it was before, to the byte.

    Raises:
        NotAllowed: git is changing it.
        OSError: It cannot be written.
    """
    _change(file, without_block)


def _with_section(text: str) -> str:
    if without_block(text) != text:
        return without_block(text, _section())
    # A byte order mark is one at the very begin alone.
    start = len(text) - len(text.removeprefix("\ufeff"))
    return text[:start] + _section() + text[start:]


def _section() -> str:
    """Return the section: it holds the whole hook, so that the repository may be moved."""
    lines = block().removeprefix(f"{BEGIN}\n").removesuffix(f"{END}\n").splitlines()
    # A line of the hook is one of the file: `\n`, and a line's end that does not count.
    command = "\\n\\\n".join(re.sub(r'(["\\])', r"\\\1", line) for line in lines)
    return SECTION.format(begin=BEGIN, end=END, event=NAME, command=command)


def _change(file: Path, change: Callable[[str], str]) -> None:
    """Write a configuration as git does itself: under its lock, so that nobody's change is lost."""
    text = read(file) or ""
    if change(text) == text:
        return
    file = file.resolve()
    lock = file.with_name(f"{file.name}.lock")
    try:
        opened = lock.open("xb")
    except FileExistsError as error:
        raise NotAllowed(
            f"{lock} is there: git is changing the configuration; try again, "
            "or remove it if no git runs"
        ) from error
    try:
        with opened:
            opened.write(change(read(file) or "").encode(errors="surrogateescape"))
        lock.chmod(mode(file))
        lock.replace(file)
    except OSError:
        lock.unlink(missing_ok=True)
        raise
