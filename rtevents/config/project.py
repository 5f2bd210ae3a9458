"""A project's own file, `.rtevents.yaml`: what concerns that project alone (DESIGN section 6)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.load import explain, parse_yaml
from rtevents.config.risks import OwnRisks
from rtevents.errors import ConfigError

OWN_FILE = ".rtevents.yaml"
"""Its name, in the project's folder."""

MAX_BYTES = 64 * 1024
"""Largest such file, in bytes: more is a mistake or an attack (S17)."""


OTHERS = frozenset({"on", True, "tasks", "ignore"})
"""What the file may hold besides, which others read; YAML 1.1 reads a bare `on` as true."""


def read_risks(root: Path) -> OwnRisks:
    """
    Read what a project's own file says of risks; one that is not there says nothing.

    A cloned repository is not trusted: nothing here runs anything, or takes anything away.

    Raises:
        ConfigError: It cannot be used; the text names the file, the line and the key.
    """
    file = root / OWN_FILE
    try:
        text = _read(file)
    except FileNotFoundError:
        return OwnRisks()
    parsed, lines = parse_yaml(text, str(file))
    document: dict[Any, Any] = parsed
    for name in document:
        if name != "risks" and name not in OTHERS:
            line = lines.get(f"$.{name}", 1)
            raise ConfigError(f"{file}:{line}: {name}: no setting of a project", field=str(name))
    try:
        return msgspec.convert(document.get("risks") or {}, OwnRisks)
    except msgspec.ValidationError as error:
        # As seen from the top of the file.
        text, place, key = str(error).partition(" - at `$")
        within = f"{text} - at `$.risks{key}" if place else f"{text} - at `$.risks`"
        raise explain(msgspec.ValidationError(within), file, lines, {}) from error


def _read(file: Path) -> str:
    """Return the text of a plain file: no link leads out of the project, no pipe is waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(file, flags), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise ConfigError(f"{file}: not a plain file")
            raw = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{file}: more than {MAX_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}") from error
