"""The audit log, as the server writes it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtevents.server.audit import Audit
from rtevents.server.chain import lines
from rtevents.server.principal import NOBODY, Principal

from .readers import until

SOMEBODY = Principal("token:1", NOBODY)


async def test_a_file_that_is_full_is_synced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written was written to that file, whichever is written to by now."""
    audit = Audit(tmp_path / "audit.jsonl", max_bytes=1)
    audit.allow(SOMEBODY, "token made", always=True)
    begun, may_go_on = threading.Event(), threading.Event()
    synced: list[os.stat_result] = []
    fsync = os.fsync

    def slowly(file: Any) -> None:
        begun.set()
        may_go_on.wait()
        fsync(file)
        synced.append(os.fstat(file if isinstance(file, int) else file.fileno()))

    monkeypatch.setattr(os, "fsync", slowly)
    syncing = asyncio.create_task(audit.sync())
    await until(begun.is_set, "it is being synced")
    audit.allow(SOMEBODY, "token made", always=True)
    may_go_on.set()
    await syncing
    audit.close()

    [file] = synced
    assert os.path.samestat(file, (tmp_path / "audit.1.jsonl").stat())


def test_a_file_that_is_full_while_it_is_read_is_read_on(tmp_path: Path) -> None:
    """Else lines would seem to be missing that nobody took out."""
    file = tmp_path / "audit.jsonl"
    audit = Audit(file, max_bytes=1)
    for _ in range(3):
        audit.allow(SOMEBODY, "token made", always=True)

    reading = lines(file)
    first = next(reading)
    audit.allow(SOMEBODY, "token made", always=True)
    read = [msgspec.json.decode(line)["n"] for _, _, line in (first, *reading)]
    audit.close()

    assert read == [1, 2, 3, 4, 5, 6, 7]
