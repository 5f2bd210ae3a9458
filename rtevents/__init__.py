"""
What happens in your projects as one ordered, durable, replayable stream.

The public names are those of ``rtevents.core``; clients are in ``rtevents.client``, stores in
``rtevents.stores``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtevents.core.connection import Connection as Connection
    from rtevents.core.cursor import Cursor as Cursor
    from rtevents.core.event import Bookmark as Bookmark
    from rtevents.core.event import Entry as Entry
    from rtevents.core.event import Event as Event
    from rtevents.core.event import EventType as EventType
    from rtevents.core.event import Gap as Gap
    from rtevents.core.event import Stored as Stored
    from rtevents.core.filter import Filter as Filter
    from rtevents.core.filter import Grant as Grant
    from rtevents.core.helpers import publish_auto_commit_error as publish_auto_commit_error
    from rtevents.core.helpers import publish_auto_commit_result as publish_auto_commit_result
    from rtevents.core.helpers import publish_auto_commit_start as publish_auto_commit_start
    from rtevents.core.helpers import publish_commit_event as publish_commit_event
    from rtevents.core.helpers import publish_dashboard_update as publish_dashboard_update
    from rtevents.core.helpers import publish_file_change_event as publish_file_change_event
    from rtevents.core.helpers import publish_progress_update as publish_progress_update
    from rtevents.core.helpers import publish_risk_alert as publish_risk_alert
    from rtevents.core.helpers import publish_system_status as publish_system_status
    from rtevents.core.helpers import publish_task_update as publish_task_update
    from rtevents.core.log import Log as Log
    from rtevents.core.service import EventService as EventService

__version__ = "0.1.0"

_EXPORTS = {
    "connection": ("Connection",),
    "cursor": ("Cursor",),
    "event": ("Bookmark", "Entry", "Event", "EventType", "Gap", "Stored"),
    "filter": ("Filter", "Grant"),
    "helpers": (
        "publish_auto_commit_error",
        "publish_auto_commit_result",
        "publish_auto_commit_start",
        "publish_commit_event",
        "publish_dashboard_update",
        "publish_file_change_event",
        "publish_progress_update",
        "publish_risk_alert",
        "publish_system_status",
        "publish_task_update",
    ),
    "log": ("Log",),
    "service": ("EventService",),
}

__all__ = [name for names in _EXPORTS.values() for name in names]


def __getattr__(name: str) -> object:
    # Against the house's habit: every command imports this module, and must not pay for asyncio
    # and msgspec (50 ms) because of it.
    for module, names in _EXPORTS.items():
        if name in names:
            return getattr(importlib.import_module(f"rtevents.core.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
