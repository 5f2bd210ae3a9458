"""Principal: who makes a request."""

from __future__ import annotations

import msgspec

from rtevents.core.filter import Grant


class Principal(msgspec.Struct, frozen=True):
    """
    Who makes a request.

    Args:
        name: ``local:<uid>``, ``token:<id>``, ``browser:<id>``, ``anonymous``, or
            ``jwt:<subject>#<digest>``, the digest of issuer and subject.
        grant: What it may see and do.
        pid: Its process, when the Unix socket told; None otherwise.
        uid: Its user, when the Unix socket told; None otherwise.
        address: Where it is on TCP, such as ``127.0.0.1:50312``; None on the Unix socket.
    """

    name: str
    grant: Grant
    pid: int | None = None
    uid: int | None = None
    address: str | None = None

    @property
    def peer(self) -> str:
        """Where it is, without the port: what its wrong credentials are counted by."""
        return (self.address or "").rpartition(":")[0]

    @property
    def place(self) -> str | int | None:
        """What tells it from others in the audit log: its address without port, or its process."""
        return self.pid if self.address is None else self.peer


NOBODY = Grant(role="anonymous")
"""What who shows no credential may do: nothing but what is for everybody."""
