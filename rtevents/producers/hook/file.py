"""The hook as a file: a block in a shell's hook, or a hook that runs the other one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rtevents.errors import NotAllowed
from rtevents.producers.hook.block import SHEBANG, block, without_block

NAME = "post-commit"
CHAINED = "post-commit.rtevents-chained"

CHAIN = """\
{shebang}
other="$(dirname "$0")/{chained}"
if [ -x "$other" ]; then "$other" "$@"; fi
code=$?
{block}exit $code
"""
"""Runs a hook that no block can be put into, and ends as it does."""


NOTHING = ("", SHEBANG)
"""What is left, but for white space, of a hook in which nothing but the block was."""


def put(file: Path) -> None:
    """
    Put the hook into a file, or a file beside whatever is there.

    Raises:
        NotAllowed: An earlier hook was put aside there.
        OSError: It cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    text = read(file)
    if text is None and not file.is_symlink():
        write(file, f"{SHEBANG}\n{block()}", 0o755)
    elif text is not None and without_block(text) != text:
        write(file, without_block(text, block()), mode(file))
    elif text is not None and _takes_block(file, text):
        first, _, rest = text.partition("\n")
        write(file, f"{first}\n{block()}{rest}", mode(file))
    else:
        chained = file.with_name(CHAINED)
        if os.path.lexists(chained):
            raise NotAllowed(f"{chained} is in the way: an earlier hook was put aside there")
        file.rename(chained)
        write(file, CHAIN.format(shebang=SHEBANG, chained=CHAINED, block=block()), 0o755)


def take_out(file: Path) -> None:
    """
    Take the hook out of a file: what was there before is there again, to the byte.

    Raises:
        OSError: It cannot be written.
    """
    text = read(file) or ""
    rest = without_block(text)
    chained = file.with_name(CHAINED)
    if rest == text:
        return
    # Only what calls it may give way to it: another program may have written its own hook since.
    if chains(rest) and os.path.lexists(chained):
        chained.replace(file)
    elif chains(rest) or rest == f"{SHEBANG}\n":
        file.unlink()
    else:
        write(file, rest, mode(file))


def chains(rest: str) -> bool:
    """Tell whether a hook, without the block, is ours and does no more than call another."""
    return f'/{CHAINED}"\n' in rest


def _takes_block(file: Path, text: str) -> bool:
    """Tell whether a block can be put into a hook and taken out again with nothing else changed."""
    first, _, rest = text.partition("\n")
    # One that is switched off stays so, and what a link points to is not ours to write.
    return _is_shell(first) and bool(rest) and os.access(file, os.X_OK) and not file.is_symlink()


def _is_shell(first: str) -> bool:
    """Tell whether a block of sh can be put behind this first line."""
    if not first.startswith("#!"):
        return False
    words = [word for word in first.removeprefix("#!").split() if not word.startswith("-")]
    names = [Path(word).name for word in words]
    if names[:1] == ["env"]:
        del names[0]
    return names[:1] in (["sh"], ["bash"], ["dash"], ["ksh"], ["zsh"])


def read(file: Path) -> str | None:
    """Return the text of a hook; None when it is not there."""
    try:
        # Bytes of whatever encoding come back as they were.
        return file.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(file: Path, text: str, permissions: int) -> None:
    """Write a hook, whole."""
    temporary = file.with_name(f".{file.name}.rtevents")
    # A repository may have brought a link of that name, to a file that is not its own.
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as opened:
        opened.write(text.encode(errors="surrogateescape"))
    temporary.chmod(permissions)
    temporary.replace(file)


def mode(file: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(file.stat().st_mode)
