"""A project's own `.rtevents.yaml`: what a repository asks for, which is a stranger's word."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.load import explain, parse_yaml
from rtevents.config.sinks import SinkSettings
from rtevents.errors import ConfigError

NAME = ".rtevents.yaml"
"""The file's name, in the project's folder."""

MAX_BYTES = 64 * 1024
"""Largest such file, in bytes: more is a mistake or an attack (S17)."""


class Reactions(msgspec.Struct, kw_only=True):
    """
    What of the file concerns reactions; its other settings are others' to read.

    Args:
        on: Commands that are run when something happens in this project.
    """

    on: list[SinkSettings] = []


class ProjectFile(msgspec.Struct, frozen=True):
    """
    A project's file as it was read.

    Args:
        file: Where it is.
        digest: SHA-256 of what it holds, as hexadecimal digits.
        raw: What it holds.
    """

    file: Path
    digest: str
    raw: bytes

    def reactions(self) -> list[SinkSettings]:
        """
        Return the reactions that it asks for; whether to run them is not for it to say.

        Raises:
            ConfigError: It cannot be read; the text names the file, the line and the key.
        """
        try:
            parsed, lines = parse_yaml(self.raw.decode(), str(self.file))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.file}: not UTF-8 at byte {error.start}") from error
        document: dict[Any, Any] = parsed
        # YAML 1.1 reads a bare `on` as true.
        on = document.get("on", document.get(True))
        try:
            given = msgspec.convert({"on": [] if on is None else on}, Reactions)
        except msgspec.ValidationError as error:
            raise explain(error, self.file, lines, {}) from error
        names: set[str] = set()
        for index, sink in enumerate(given.on):
            if wrong := _wrong(sink, names):
                line = lines.get(f"$.on[{index}]", 1)
                raise ConfigError(f"{self.file}:{line}: on[{index}]{wrong}", field=f"on[{index}]")
            names.add(sink.name)
        return given.on


def read_project_file(root: Path) -> ProjectFile | None:
    """
    Read a project's file; None when there is none.

    Raises:
        ConfigError: It is a link, no plain file, too long, or cannot be read.
    """
    file = root / NAME
    try:
        # Not through a link: it could lead out of the project. Nor waiting for a pipe's writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{file}: not a plain file")
        try:
            raw = opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{file}: more than {MAX_BYTES} bytes")
    return ProjectFile(file, hashlib.sha256(raw).hexdigest(), raw)


def _wrong(sink: SinkSettings, names: set[str]) -> str | None:
    """Return what a project may not ask for, after the place of the reaction."""
    if sink.kinds != ["command"]:
        return ": expected command: a project's own file has no other kind"
    if sink.project:
        return ".project: it is about this project alone"
    if sink.name in names:
        return f".name: {sink.name} is there twice"
    return None
