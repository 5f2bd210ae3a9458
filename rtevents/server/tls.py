"""TLS: the certificate that the daemon shows, and its being renewed while it runs."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from rtevents.errors import ConfigError

TOO_OPEN = stat.S_IWGRP | stat.S_IRWXO
"""What nobody else may do with the key's file; a group may read it, as system packages have it."""


class Certificate:
    """
    A certificate with its key.

    Args:
        cert: PEM file: the certificate, then those that lead to the one that clients trust.
        key: PEM file of its key, without a passphrase.
    Raises:
        ConfigError: As ``load``.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self.context = _context()
        """Given to the server; what is loaded later counts for new connections."""
        self._shown = b""
        self.load()

    def load(self) -> bool:
        """
        Read both files, again too.

        Returns:
            Whether another certificate than before is shown from now on.
        Raises:
            ConfigError: One of them cannot be read, they do not belong together, or others can
                read the key; the certificate that was shown before is shown on.
        """
        for field, file in (("tls.cert", self._cert), ("tls.key", self._key)):
            try:
                status = file.stat()
            except OSError as error:
                raise ConfigError(f"{field}: {file}: {error.strerror}", field=field) from error
            if field == "tls.key" and (status.st_mode & TOO_OPEN or not _is_trusted(status)):
                text = f"{field}: {file}: others can use it: chown it to yourself, chmod 600 it"
                raise ConfigError(text, field=field)
        # First into another one: a context that took half of a bad pair would not serve again.
        for context in (_context(), self.context):
            try:
                # Called when the key wants a passphrase, for which a daemon cannot ask.
                context.load_cert_chain(self._cert, self._key, password=_no_passphrase)
            except ssl.SSLError as error:
                reason = (error.reason or str(error)).lower().replace("_", " ")
                text = f"tls: no certificate with its key: {self._cert}, {self._key}: {reason}"
                raise ConfigError(text, field="tls") from error
            except OSError as error:
                text = f"tls: {error.filename or self._key}: {error.strerror}"
                raise ConfigError(text, field="tls") from error
        before, self._shown = self._shown, self._cert.read_bytes()
        return before != self._shown


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_trusted(status: os.stat_result) -> bool:
    return status.st_uid in (os.getuid(), 0)


def _no_passphrase() -> str:
    raise ConfigError("tls.key: it wants a passphrase: give it without one", field="tls.key")
