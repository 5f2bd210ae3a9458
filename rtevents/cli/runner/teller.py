"""Teller: tells the daemon of a command, and never holds it up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rtevents.cli.runner.said import Said
from rtevents.errors import ConnectionLost, NotReachable, RteventsError, Unavailable

if TYPE_CHECKING:
    from rtevents.client.sync import Client
    from rtevents.core.event import Event
    from rtevents.core.pace import Pace

SOURCE = "run"

APART = 0.5
"""Seconds between two events of progress: who watches sees no more, the log need not hold more."""

WITHIN = 600.0
"""Seconds of the progress that its rate is worked out from."""

ANSWER_SECONDS = 1.0
"""Seconds that an answer of the daemon may take."""

AWAY_SECONDS = 5.0
"""Seconds for which a daemon that did not answer is not asked again."""

END_SECONDS = 2.0
"""Seconds that the end of a command may wait for the daemon at most."""


class News(NamedTuple):
    """An event that is to be told, all but its project."""

    type: str
    data: dict[str, Any]
    event_id: str
    timestamp: float


class Teller(threading.Thread):
    """
    Publishes what it is given, in order, from a thread of its own.

    The start and the end of a task are kept on disk while the daemon is away, and delivered when it
    is back; of its progress the newest word is enough, and a word that nobody took is not kept.

    Args:
        task_id: The task.
        title: Returns what it does, in words; it may take its time.
        label: What progresses; None for the title.
        project_id: Its project; None for the one that is around the working folder.

    Attributes:
        trouble: Why something was not told at once; None when all was.
        doubt: What is odd about the project; None when nothing is.
    """

    def __init__(
        self, task_id: str, title: Callable[[], str], label: str | None, project_id: str | None
    ) -> None:
        super().__init__(name="rtevents-teller", daemon=True)
        self.trouble: str | None = None
        self.doubt: str | None = None
        self._task_id = task_id
        self._title = title
        self._words = ""
        self._label = label
        self._project_id = project_id
        self._is_project_known = False
        self._root_id = ""
        self._changed = threading.Condition()
        self._waiting: list[News] = []
        self._said: Said | None = None
        self._last: Said | None = None
        self._due = 0.0
        self._is_ending = False
        self._pace: Pace | None = None
        self._away_until = 0.0
        self._has_kept = False

    def tell(self, status: str, **data: Any) -> None:
        """Tell that the task has another state."""
        data = {"task_id": self._task_id, "status": status, **data}
        news = News("TASK_UPDATE", data, _new_id(), time.time())
        self._root_id = self._root_id or news.event_id
        with self._changed:
            self._waiting.append(news)
            self._changed.notify()

    def progress(self, said: Said) -> None:
        """Tell how far the task has come; the newest word counts."""
        with self._changed:
            self._said = said
            self._changed.notify()

    def finish(self) -> None:
        """Return when all is told or kept, after a while at most."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self.join(END_SECONDS)
        if self.is_alive():
            self.trouble = self.trouble or "the daemon does not answer"
            with self._changed:
                left, self._waiting = self._waiting, []
            for news in left:
                self._keep(self._event(news))

    def run(self) -> None:
        """Tell what there is, until all is told and there will be no more."""
        from rtevents.client.sync import Client

        with Client(timeout=ANSWER_SECONDS, retry_for=0.0) as client:
            while True:
                with self._changed:
                    while not self._has_news():
                        if self._is_ending:
                            return
                        self._changed.wait(self._seconds())
                    is_task = self._is_task_next()
                    news = self._waiting[0] if is_task else self._progress()
                if news is None:
                    continue
                self._send(client, news)
                if is_task:
                    with self._changed:
                        self._waiting = [each for each in self._waiting if each is not news]

    def _has_news(self) -> bool:
        if self._waiting:
            return True
        return self._said is not None and (self._is_ending or time.monotonic() >= self._due)

    def _is_task_next(self) -> bool:
        """Tell whether a state is to be told: an end comes after the last word on the progress."""
        if not self._waiting:
            return False
        return self._said is None or self._waiting[0].data["status"] == "running"

    def _seconds(self) -> float | None:
        return None if self._said is None else max(0.0, self._due - time.monotonic())

    def _progress(self) -> News | None:
        said, self._said = self._said, None
        if said is None or said == self._last:
            return None
        self._last = said
        now = time.monotonic()
        self._due = now + APART
        from rtevents.core.pace import Pace, percent

        self._pace = self._pace or Pace()
        self._pace.note(now, said.done, apart=APART / 2, within=WITHIN)
        data: dict[str, Any] = {
            "done": said.done,
            "total": said.total,
            "percent": percent(said.done, said.total),
            "label": said.label or self._label or self._named(),
            "unit": said.unit,
            "task_id": self._task_id,
            "rate": self._pace.rate(),
        }
        if data["rate"]:
            data["eta"] = round(max(0.0, said.total - said.done) / data["rate"], 1)
        data = {name: value for name, value in data.items() if value is not None}
        return News("PROGRESS_UPDATE", data, _new_id(), time.time())

    def _send(self, client: Client, news: News) -> None:
        """Publish an event; keep it where the daemon is away, if it is to be kept."""
        is_kept = news.type == "TASK_UPDATE"
        try:
            if time.monotonic() >= self._away_until:
                self._find_project(client)
                event = self._event(news)
                if self._has_kept:
                    self._deliver(client, event.project_id)
                client.publish(event)
                return
        except (NotReachable, ConnectionLost, Unavailable) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            self.trouble = f"kept until it can be stored: {error}"
        except RteventsError as error:
            self.trouble = str(error)
            return
        if is_kept:
            self._keep(self._event(news))

    def _deliver(self, client: Client, project_id: str | None) -> None:
        """Publish what was kept before: an end comes after its start."""
        from rtevents.client.spool import deliver
        from rtevents.config.paths import find_paths

        if (wait := deliver(client, find_paths().spool).get(project_id)) is not None:
            raise wait
        self._has_kept = False
        self.trouble = None

    def _keep(self, event: Event) -> None:
        from rtevents.client.spool import keep
        from rtevents.config.paths import find_paths

        try:
            keep(find_paths().spool, event)
            self._has_kept = True
        except (OSError, RteventsError) as error:
            self.trouble = f"not told: {error}"

    def _named(self) -> str:
        self._words = self._words or self._title()
        return self._words

    def _event(self, news: News) -> Event:
        from rtevents.core.event import Event

        extensions = {"correlation_id": self._root_id}
        if news.event_id != self._root_id:
            extensions["causation_id"] = self._root_id
        named = {"title": self._named()} if news.type == "TASK_UPDATE" else {}
        return Event(
            type=news.type,
            data={**news.data, **named},
            event_id=news.event_id,
            timestamp=news.timestamp,
            source=SOURCE,
            project_id=self._project_id,
            extensions=extensions,
        )

    def _find_project(self, client: Client) -> None:
        """Ask once which project is around the working folder; none is as good as no answer."""
        if self._is_project_known:
            return
        self._is_project_known = True
        if self._project_id is not None:
            from rtevents.cli.known import unknown

            # Before the first event of it is published: from then on it is known.
            self.doubt = next(iter(unknown(client, [self._project_id])), None)
            return
        try:
            here = Path.cwd().resolve()
            around = [
                each
                for each in client.projects()
                if here == (root := Path(each["path"])) or root in here.parents
            ]
        except (NotReachable, ConnectionLost):
            raise
        except (OSError, RteventsError):
            return
        if around:
            self._project_id = max(around, key=lambda each: len(each["path"]))["id"]


def _new_id() -> str:
    # Not by core: the command runs by now, and what is imported takes its processor.
    return f"run:{os.urandom(16).hex()}"
