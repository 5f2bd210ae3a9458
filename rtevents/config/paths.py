"""Where the daemon's files are, and which daemon a client talks to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from rtevents.config.logs import MAIN


class Paths(msgspec.Struct, frozen=True):
    """
    Where the daemon's files are (DESIGN section 6).

    Args:
        run: Folder of the socket and the lock.
        state: Folder of the database, the logs and every other file that is kept.
        config: The configuration file, whether or not it is there.
    """

    run: Path
    state: Path
    config: Path

    @property
    def socket(self) -> Path:
        """The Unix socket on which the daemon listens."""
        return self.run / "rtevents.sock"

    @property
    def lock(self) -> Path:
        """The file whose lock makes a daemon the only one on its socket."""
        return self.run / "rtevents.lock"

    @property
    def state_lock(self) -> Path:
        """The file whose lock makes a daemon the only one on its database."""
        return self.state / "rtevents.lock"

    @property
    def own(self) -> list[Path]:
        """The folders that are the daemon's own, resolved."""
        return [self.state.resolve(), self.run.resolve()]

    @property
    def database(self) -> Path:
        """The SQLite database of the log."""
        return self.state / "events.db"

    def log_file(self, log: str) -> Path:
        """Return where SQLite has a log, by its name."""
        return self.database if log == MAIN else self.database.with_name(f"events-{log}.db")

    @property
    def daemon_log(self) -> Path:
        """What a detached daemon has to say."""
        return self.state / "daemon.log"

    @property
    def audit(self) -> Path:
        """Who was let in to do what, and who was refused."""
        return self.state / "audit.jsonl"

    @property
    def trust(self) -> Path:
        """Folder of what is known of projects' own files: which are trusted."""
        return self.state / "trust"

    @property
    def types(self) -> Path:
        """File of the event types that were added while a daemon ran."""
        return self.state / "types.json"

    @property
    def names(self) -> Path:
        """Folder of the places of `rtevents on --as NAME`."""
        return self.state / "on"

    @property
    def spool(self) -> Path:
        """Folder of the events that wait for the daemon to be back."""
        return self.state / "spool"


def find_paths(environ: Mapping[str, str] = os.environ, *, config: str | None = None) -> Paths:
    """
    Return where the files are, from the XDG variables.

    Args:
        environ: The environment to read.
        config: The configuration file that the command line named.
    """
    state = _xdg(environ, "XDG_STATE_HOME", "user_state_path")
    # An empty or relative value is to be ignored (XDG Base Directory Specification).
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    run = Path(runtime) / "rtevents" if runtime.startswith("/") else state / "run"
    named = config or environ.get("RTEVENTS_CONFIG")
    file = Path(named) if named else _xdg(environ, "XDG_CONFIG_HOME", "user_config_path")
    return Paths(run, state, file if named else file / "config.yaml")


def expand(path: str) -> Path:
    """Return a path of the configuration; `~` is the home folder, where there is such a user."""
    # Not Path.expanduser: that raises where there is none.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def real(path: str) -> Path:
    """Return what ``expand`` does, without links."""
    # Not Path.resolve: that raises where links lead round, until Python 3.13.
    return Path(os.path.realpath(expand(path)))


class Target(msgspec.Struct, frozen=True):
    """
    The daemon that a client talks to.

    Args:
        address: Path of a Unix socket, or ``http://host:port``.
        token: The credential for TCP; None for none.
    """

    address: str
    token: str | None = None


def find_target(environ: Mapping[str, str] = os.environ) -> Target:
    """Return the daemon that ``$RTEVENTS_URL`` names, else the user's own, on its Unix socket."""
    address = environ.get("RTEVENTS_URL") or str(find_paths(environ).socket)
    return Target(address, environ.get("RTEVENTS_TOKEN"))


def _xdg(environ: Mapping[str, str], name: str, fallback: str) -> Path:
    # As above.
    if (value := environ.get(name, "")).startswith("/"):
        return Path(value) / "rtevents"
    # Imported here: a command that finds its variable set does not pay for it.
    import platformdirs

    path: Path = getattr(platformdirs, fallback)("rtevents", appauthor=False)
    return path
