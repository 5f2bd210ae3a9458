"""The settings of sinks: what is done when something happens."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from rtevents.config.numbers import Limit, Pause, Positive, Seconds

OnBusy = Literal["queue", "drop", "restart"]

Values = str | list[str]
"""One value of a filter, or several."""


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
"""What a sink may be called."""


class CommandSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    A command that is run, without a shell.

    Args:
        run: The program and its arguments; the event comes as JSON on its standard input.
        cwd: The folder in which it runs; `~` is the home folder.
        env: Variables besides PATH, HOME and the like, and RTEVENTS_*.
        timeout: Seconds after which it is ended, with all that it started.
    """

    run: Annotated[list[str], msgspec.Meta(min_length=1)]
    cwd: str = "~"
    env: dict[str, str] = {}
    timeout: Seconds = 60.0


class WebhookSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    An address to which events are posted.

    Args:
        url: `https://…` or `http://…`.
        secret_file: File that holds the secret of its signature, `whsec_…`; several sign each.
        secret_env: Variable of the daemon's environment that holds it instead.
        headers: Further headers, such as Authorization.
        format: `json`, as the stream has it, or `cloudevents`.
        timeout: Seconds in which it must have answered.
    """

    url: str
    secret_file: str = ""
    secret_env: str = ""
    headers: dict[str, str] = {}
    format: Literal["json", "cloudevents"] = "json"
    timeout: Seconds = 10.0


class FileSinkSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    A file to which events are written, one JSON object a line.

    Args:
        path: The file; `~` is the home folder. Full ones are beside it as `.1`, `.2` and so on.
        max_bytes: Bytes after which another is begun.
        max_age: Seconds after its first event after which another is begun; 0 for never.
        files: Full files that are kept.
    """

    path: str
    max_bytes: Positive = 10 * 1024**2
    max_age: Pause = 0.0
    files: Limit = 5


class NotifySettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Messages to people: desktop, Slack, e-mail and others; needs `rtevents[notify]`.

    Args:
        urls: Where to, as Apprise writes it: `dbus://`, `slack://…`, `mailtos://…`.
        urls_file: File that holds such lines: they have secrets in them.
        title: The first words of each message.
        timeout: Seconds in which it must have been taken.
    """

    urls: list[str] = []
    urls_file: str = ""
    title: str = "rtevents"
    timeout: Seconds = 30.0


class SinkSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    A sink: which events, and one of `command`, `webhook`, `file` and `notify`.

    Args:
        name: 1 to 64 of A-Z a-z 0-9 . _ -
        type: Event types; every one when empty.
        not_type: Event types that are left out.
        project: Projects.
        source: Sources.
        path: Globs for the event's files, of a COMMIT all that it lists.
        where: Conditions on any field, such as `data.severity >= "high"`.
        log: The log that it reads, where there are several; needless where `project` says it.
        command: A command that is run.
        webhook: An address to which events are posted.
        file: A file to which they are written.
        notify: Messages to people.
        since: Where it begins the first time: `new`, `all`, `1h`.
        batch: Most events at once; 0 is the kind's own: 1, for files and messages 500.
        batch_seconds: Seconds to wait for more when there are fewer.
        every: Seconds between two reactions, at least; messages have 10 unless it is set.
        on_busy: What comes meanwhile waits in the log (`queue`), is passed over but for the newest
            (`drop`), or ends what runs (`restart`).
        retries: Attempts after the first, before an event goes to the dead letters; while nobody
            answers at all it waits in the log instead.
        retry_pause: Seconds before the first of them; each pause is twice the one before.
        retry_max: The longest pause, in seconds.
        breaker: Failures in a row after which it rests; 0 for never.
        breaker_pause: Seconds of rest, before one attempt is made; twice as long each time.
        max_dead: Dead letters that are kept.
    """

    name: str
    type: Values = []
    not_type: Values = []
    project: Values = []
    source: Values = []
    path: Values = []
    where: Values = []
    log: Values = []
    command: CommandSettings | None = None
    webhook: WebhookSettings | None = None
    file: FileSinkSettings | None = None
    notify: NotifySettings | None = None
    since: str = "new"
    batch: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    batch_seconds: Pause = 0.0
    every: Pause | None = None
    on_busy: OnBusy = "queue"
    retries: Limit = 5
    retry_pause: Seconds = 1.0
    retry_max: Seconds = 300.0
    breaker: Limit = 5
    breaker_pause: Seconds = 30.0
    max_dead: Positive = 1000

    @property
    def kinds(self) -> list[str]:
        """The kinds of reaction that are set; exactly one must be."""
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    @property
    def query(self) -> dict[str, list[str]]:
        """The filter, as the keys of a query string."""
        given = {key: getattr(self, key) for key in FILTER_KEYS}
        return {key: [value] if isinstance(value, str) else value for key, value in given.items()}


KINDS = ("command", "webhook", "file", "notify")
"""The settings of which a sink has one."""

FILTER_KEYS = ("type", "not_type", "project", "source", "path", "where", "log")
"""The settings that are its filter."""
