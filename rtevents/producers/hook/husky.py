"""
The hook in a script that husky runs.

Husky has git run hooks of its own, in a folder `_` that is written anew whenever packages are
installed. They run the script of the same name beside that folder, which is the user's.
"""

from __future__ import annotations

from pathlib import Path

from rtevents.errors import NotAllowed
from rtevents.producers.hook.block import SHEBANG, block, without_block
from rtevents.producers.hook.file import mode, read, write

FOLDER = "_"
"""The folder of husky's own hooks, beside the scripts that they run."""

RUNNER = "h"
"""What all of husky's own hooks are, in that folder."""


def script_of(hook: Path) -> Path | None:
    """Return the script that husky runs for a hook of git's; None for one that is not husky's."""
    folder = hook.parent
    is_husky = folder.parent.name == ".husky" or (folder / RUNNER).is_file()
    return folder.parent / hook.name if folder.name == FOLDER and is_husky else None


def put(script: Path) -> None:
    """
    Put the hook into a script, in front: whatever the script does, it is run.

    Raises:
        NotAllowed: It is a link: what that points to is not ours to write.
        OSError: It cannot be written.
    """
    text = read(script)
    if script.is_symlink():
        raise NotAllowed(f"{script} is a link: write a script there, which may run the other one")
    if text is None:
        script.parent.mkdir(parents=True, exist_ok=True)
        write(script, f"{SHEBANG}\n{block()}", 0o755)
    elif without_block(text) != text:
        write(script, without_block(text, block()), mode(script))
    else:
        first, _, rest = text.partition("\n")
        is_named = first.startswith("#!") and rest
        write(script, f"{first}\n{block()}{rest}" if is_named else block() + text, mode(script))


def take_out(script: Path) -> None:
    """
    Take the hook out of a script, which is as it was before, to the byte.

    Raises:
        OSError: It cannot be written.
    """
    text = read(script) or ""
    rest = without_block(text)
    if rest == text:
        return
    # Behind its first line there is only what we wrote ourselves: nothing else was there.
    if rest == f"{SHEBANG}\n" and text.startswith(rest):
        script.unlink()
    else:
        write(script, rest, mode(script))
