"""A project's own file, `.rtevents.yaml`: what concerns that project alone (DESIGN section 6)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from rtevents.config.load import explain, parse_yaml
from rtevents.config.risks import OwnRisks
from rtevents.errors import ConfigError

OWN_FILE = ".rtevents.yaml"
"""Its name, in the project's folder."""

MAX_BYTES = 64 * 1024
"""Largest such file, in bytes: more is a mistake or an attack (S17)."""


class OwnSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    What a project says of itself. A cloned repository is not trusted: nothing here runs anything.

    Args:
        risks: Rules for risks.
    """

    risks: OwnRisks = msgspec.field(default_factory=OwnRisks)


def read_project(root: Path) -> OwnSettings:
    """
    Read a project's own file; one that is not there says nothing.

    Raises:
        ConfigError: It cannot be used; the text names the file, the line and the key.
    """
    file = root / OWN_FILE
    try:
        text = _read(file)
    except FileNotFoundError:
        return OwnSettings()
    document, lines = parse_yaml(text, str(file))
    try:
        return msgspec.convert(document, OwnSettings)
    except msgspec.ValidationError as error:
        raise explain(error, file, lines, {}) from error


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
