"""The publishing helpers: one call per event type, for an `EventService` and a `Client` alike."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from rtevents.core.causes import caused_by
from rtevents.core.event import Event, EventType

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Publisher(Protocol[R_co]):
    """
    What events can be given to.

    What ``publish`` returns, a helper returns: await it where ``publish`` is to be awaited.
    """

    def publish(self, event: Event) -> R_co:
        """Store one event."""


def publish_file_change_event(
    to: Publisher[R], file_path: str, change_type: str, **common: Any
) -> R:
    """
    Tell that a file changed.

    Args:
        file_path: Relative to the project.
        change_type: ``created modified deleted renamed``.
        common: ``project_id source event_id timestamp extensions`` of the event, and ``caused_by``:
            the event that caused it, or its id; any other keyword becomes a field of its data. The
            same holds for every helper here.
    """
    return _publish(
        to, EventType.FILE_CHANGE, {"file_path": file_path, "change_type": change_type}, common
    )


def publish_commit_event(
    to: Publisher[R], commit_hash: str, message: str, author: str, **common: Any
) -> R:
    """Tell of a commit; for a project that the daemon watches, its git producer does this."""
    return _publish(
        to,
        EventType.COMMIT,
        {"commit_hash": commit_hash, "message": message, "author": author},
        common,
    )


def publish_progress_update(to: Publisher[R], done: float, total: float, **common: Any) -> R:
    """Tell how far something has come; ``percent`` is worked out when it is not given."""
    data: dict[str, Any] = {"done": done, "total": total}
    if total > 0 and "percent" not in common:
        data["percent"] = round(min(100.0, 100.0 * done / total), 2)
    return _publish(to, EventType.PROGRESS_UPDATE, data, common)


def publish_risk_alert(to: Publisher[R], severity: str, message: str, **common: Any) -> R:
    """Tell of a risk; `severity` is one of ``low medium high critical``."""
    return _publish(to, EventType.RISK_ALERT, {"severity": severity, "message": message}, common)


def publish_task_update(to: Publisher[R], task_id: str, status: str, **common: Any) -> R:
    """Tell that a task has a new status."""
    return _publish(to, EventType.TASK_UPDATE, {"task_id": task_id, "status": status}, common)


def publish_system_status(to: Publisher[R], status: str, **common: Any) -> R:
    """Tell how a system is: ``ok degraded failed``."""
    return _publish(to, EventType.SYSTEM_STATUS, {"status": status}, common)


def publish_dashboard_update(to: Publisher[R], metrics: dict[str, Any], **common: Any) -> R:
    """Tell figures to those who watch."""
    return _publish(to, EventType.DASHBOARD_UPDATE, {"metrics": metrics}, common)


def publish_auto_commit_start(to: Publisher[R], changes_count: int, **common: Any) -> R:
    """Tell that an automatic commit begins."""
    return _publish(to, EventType.AUTO_COMMIT_START, {"changes_count": changes_count}, common)


def publish_auto_commit_result(
    to: Publisher[R], success: bool, changes_count: int, message: str, **common: Any
) -> R:
    """Tell how an automatic commit ended."""
    data = {"success": success, "changes_count": changes_count, "message": message}
    return _publish(to, EventType.AUTO_COMMIT_RESULT, data, common)


def publish_auto_commit_error(to: Publisher[R], error: str, **common: Any) -> R:
    """Tell that an automatic commit failed."""
    return _publish(to, EventType.AUTO_COMMIT_ERROR, {"error": error}, common)


_COMMON = ("project_id", "source", "event_id", "timestamp", "extensions")


def _publish(
    to: Publisher[R],
    kind: EventType,
    data: dict[str, Any],
    common: dict[str, Any],
) -> R:
    fields = {name: common.pop(name) for name in _COMMON if name in common}
    if (cause := common.pop("caused_by", None)) is not None:
        fields["extensions"] = caused_by(cause) | fields.get("extensions", {})
    return to.publish(Event(type=kind.value, data={**data, **common}, **fields))
