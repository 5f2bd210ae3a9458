"""Project: one thing that is watched, and how it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from rtevents.config.settings import ProjectSettings
from rtevents.producers import Producer
from rtevents.producers.autocommit import AutoCommitProducer
from rtevents.producers.files import FilesProducer
from rtevents.producers.git import GitProducer


class Project:
    """One project: its settings, its producers, and how they are."""

    def __init__(self, settings: ProjectSettings, root: Path) -> None:
        self.settings = settings
        self.given = settings
        """The settings as they were given, to be compared with others."""
        self.root = root
        self.producers: dict[str, Producer] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.errors: dict[str, str] = {}
        # Held while a batch is stored, until its producer has noted that.
        self.storing = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def git(self) -> GitProducer | None:
        """The producer of commits; None when commits are not published."""
        producer = self.producers.get("git")
        return producer if isinstance(producer, GitProducer) else None

    @property
    def saver(self) -> AutoCommitProducer | None:
        """The producer that commits by itself; None when it is not switched on."""
        producer = self.producers.get("auto_commit")
        return producer if isinstance(producer, AutoCommitProducer) else None

    @property
    def state(self) -> str:
        """``degraded`` while its folder is lost, else ``failed``, ``starting`` or ``watching``."""
        if self.lost:
            return "degraded"
        if self.errors:
            return "failed"
        return "watching" if self.is_ready else "starting"

    def state_of(self, kind: str) -> str:
        """Return how one of the producers is, in the same words."""
        if kind == "files" and self.lost:
            return "degraded"
        if kind in self.errors:
            return "failed"
        return "watching" if self.producers[kind].ready.is_set() else "starting"

    @property
    def lost(self) -> str | None:
        """Why its folder cannot be watched for now; None while it can."""
        files = self.producers.get("files")
        return files.lost if isinstance(files, FilesProducer) else None

    @property
    def gaps(self) -> list[str]:
        """Why some of what happens is seen late."""
        return [producer.gap for producer in self.producers.values() if producer.gap]

    @property
    def is_ready(self) -> bool:
        """Whether every producer sees what changes."""
        return all(producer.ready.is_set() for producer in self.producers.values())

    def note(self) -> None:
        """Know that a producer is in another state."""
        self._changed.set()

    async def settle(self) -> None:
        """Return when every producer sees what changes, or when it is known why not."""
        while not (self.is_ready or self.errors or self.lost):
            self._changed.clear()
            await self._changed.wait()

    def as_dict(self) -> dict[str, Any]:
        """Return what ``GET /v1/projects`` tells."""
        lost = [f"root lost: {self.lost}"] if self.lost else []
        return {
            "id": self.settings.id,
            "path": str(self.root),
            "files": self.settings.files,
            "git": self.settings.git,
            "tasks": self.settings.tasks,
            "auto_commit": self.settings.auto_commit,
            "ignore": self.settings.ignore,
            "state": self.state,
            "error": "; ".join([*lost, *self.errors.values(), *self.gaps]) or None,
        }
