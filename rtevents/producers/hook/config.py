"""The hook as a line of the repository's configuration, which git runs since 2.54."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from rtevents.errors import BadInput
from rtevents.producers.hook.ask import ask
from rtevents.producers.hook.block import SHEBANG, block
from rtevents.producers.hook.file import NAME, read, write

SECTION = "hook.rtevents"

SINCE = (2, 54)
"""The first version of git that runs hooks of the configuration."""


def is_known(repository: Path) -> bool:
    """Tell whether git runs hooks of the configuration."""
    return version(repository) >= SINCE


def version(repository: Path) -> tuple[int, int]:
    """Return git's version, its first two numbers."""
    found = re.search(r"(\d+)\.(\d+)", ask(repository, "version"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def script(common: Path) -> Path:
    """Return what git runs: a file of its own, in which only the hook is."""
    return common / "rtevents" / "hook"


def is_there(repository: Path) -> bool:
    """Tell whether the configuration names the hook."""
    return _command(repository) is not None


def is_whole(repository: Path) -> bool:
    """Tell whether what the configuration names is there."""
    command = _command(repository)
    return command is not None and Path(*shlex.split(command)[:1]).is_file()


def put(repository: Path, common: Path) -> None:
    """
    Name the hook in the repository's own configuration.

    Raises:
        OSError: It cannot be written.
        BadInput: git does not take it.
    """
    script(common).parent.mkdir(exist_ok=True)
    text = f"{SHEBANG}\n{block()}"
    if read(script(common)) != text:
        write(script(common), text, 0o755)
    command = shlex.quote(str(script(common)))
    if _command(repository) != command:
        take_out(repository, common, with_script=False)
        ask(repository, "config", "--local", f"{SECTION}.command", command)
        ask(repository, "config", "--local", f"{SECTION}.event", NAME)


def take_out(repository: Path, common: Path, *, with_script: bool = True) -> None:
    """
    Take it out of the configuration, which is as it was before, to the byte.

    Raises:
        OSError: It cannot be written.
        BadInput: git does not do it.
    """
    if _command(repository) is not None:
        ask(repository, "config", "--local", "--remove-section", SECTION)
    if with_script:
        script(common).unlink(missing_ok=True)


def _command(repository: Path) -> str | None:
    try:
        return ask(repository, "config", "--local", "--get", f"{SECTION}.command")
    except BadInput:
        return None
