"""Files that decide who may do what: read only where nobody else could have written them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rtevents.errors import ConfigError


def read_own(file: Path, most: int) -> bytes:
    """
    Return what a file holds that is the user's own, or root's, and that others cannot write.

    Args:
        most: Largest size, in bytes: more is a mistake or an attack.
    Raises:
        FileNotFoundError: There is none.
        ConfigError: It cannot be read, or may be another's.
    """
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            if status.st_uid not in (os.getuid(), 0) or status.st_mode & stat.S_IWOTH:
                raise ConfigError(
                    f"{file}: others can write it, so it is not read; chmod o-w it and own it"
                )
            raw = opened.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    if len(raw) > most:
        raise ConfigError(f"{file}: more than {most} bytes")
    return raw
