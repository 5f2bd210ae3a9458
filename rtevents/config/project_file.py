"""A project's own `.rtevents.yaml`: what a repository asks for, which is a stranger's word."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from rtevents.config.load import explain, parse_yaml
from rtevents.config.risks import OwnRisks
from rtevents.config.sinks import SinkSettings
from rtevents.errors import ConfigError

NAME = ".rtevents.yaml"
"""The file's name, in the project's folder."""

MAX_BYTES = 64 * 1024
"""Largest such file, in bytes: more is a mistake or an attack (S17)."""


Line = Annotated[str, msgspec.Meta(max_length=1024)]


class _Document(msgspec.Struct, kw_only=True):
    """
    What the file holds.

    Args:
        on: Commands that are run when something happens in this project.
        risks: Rules for risks, besides those of every project.
        tasks: Files of tasks, besides those of the settings.
        ignore: Patterns of files to leave out, besides those of git; the settings decide before.
    """

    on: list[SinkSettings] = []
    risks: OwnRisks = msgspec.field(default_factory=OwnRisks)
    tasks: Annotated[list[Line], msgspec.Meta(max_length=100)] = []
    ignore: Annotated[list[Line], msgspec.Meta(max_length=500)] = []


# Read in several threads, of which none may be the first to use it: see ``core/keep.py``.
msgspec.json.Decoder(_Document)


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
        given, lines = self._document()
        names: set[str] = set()
        for index, sink in enumerate(given.on):
            if wrong := _wrong(sink, names):
                line = lines.get(f"$.on[{index}]", 1)
                raise ConfigError(f"{self.file}:{line}: on[{index}]{wrong}", field=f"on[{index}]")
            names.add(sink.name)
        return given.on

    def risks(self) -> OwnRisks:
        """
        Return what it says of risks: nothing of it runs anything, or takes anything away.

        Raises:
            ConfigError: As ``reactions``.
        """
        return self._document()[0].risks

    def tasks(self) -> list[str]:
        """
        Return the files of tasks that it names, as paths and patterns that nobody has looked at.

        Raises:
            ConfigError: As ``reactions``.
        """
        return self._document()[0].tasks

    def ignore(self) -> list[str]:
        """
        Return its patterns of files to leave out.

        Raises:
            ConfigError: As ``reactions``.
        """
        return self._document()[0].ignore

    def _document(self) -> tuple[_Document, Mapping[str, int]]:
        """Return what it holds, and the line of each key."""
        try:
            parsed, lines = parse_yaml(self.raw.decode(), str(self.file))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.file}: not UTF-8 at byte {error.start}") from error
        for name in parsed:
            if name not in _Document.__struct_fields__:
                line = lines.get(f"$.{name}", 1)
                raise ConfigError(
                    f"{self.file}:{line}: {name}: no setting of a project", field=name
                )
        # A section of which nothing is said is none.
        given = {name: value for name, value in parsed.items() if value is not None}
        try:
            return msgspec.convert(given, _Document), lines
        except msgspec.ValidationError as error:
            raise explain(error, _Document, self.file, lines, {}) from error


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
