"""The files that hold the secrets of sinks: whether they hold others by now."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from rtevents.config.own import read_own
from rtevents.config.paths import expand
from rtevents.config.sinks import SinkSettings
from rtevents.errors import ConfigError

MAX_BYTES = 64 * 1024
"""Largest file of secrets, in bytes: as large as any sink takes."""


def secret_file(settings: SinkSettings) -> str:
    """Return the file with what a sink needs to know and the configuration does not tell."""
    webhook, notify = settings.webhook, settings.notify
    return (webhook.secret_file if webhook else "") or (notify.urls_file if notify else "")


def fingerprint(settings: SinkSettings) -> bytes:
    """Return what is the same while that file holds the same; empty where it cannot be read."""
    with suppress(OSError, ConfigError):
        if file := secret_file(settings):
            return hashlib.blake2b(read_own(expand(file), MAX_BYTES)).digest()
    return b""
