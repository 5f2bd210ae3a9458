"""What the machine gives: the configuration, folders, disk, SQLite, the kernel's limits, git."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from rtevents.cli.doctor.check import Check, ok, problem, warning
from rtevents.cli.output import size
from rtevents.config.load import Loaded
from rtevents.config.paths import Paths

FREE_PROBLEM = 64 * 1024**2
"""Bytes of free disk below which events may soon be refused."""

FREE_WARNING = 1024**3
"""Bytes of free disk below which it is said."""

REMOTE = re.compile(
    r"nfs|cifs|smb|9p|afs|ceph|gluster|lustre|fuse\.(?!fuse-overlayfs)|vboxsf|drvfs"
)
"""File systems whose changes the kernel does not tell of, and on which SQLite is not safe."""

INOTIFY = Path("/proc/sys/fs/inotify")
"""Where Linux tells how much may be watched."""

NAMESPACE = Path("/proc/sys/user")
"""Where it tells how much may be watched in this user namespace: what is less counts."""

GIT_NEEDED = (2, 25)
"""The first version of git with all that is asked of it."""


def configuration(loaded: Loaded, unwatched: Sequence[str]) -> Check:
    """
    Tell whether the settings can be used.

    Args:
        unwatched: What of them cannot be watched.
    """
    words = str(loaded.file) if loaded.file.exists() else "no file: every setting has its default"
    if doubts := [*loaded.warnings, *unwatched]:
        return warning("configuration", "; ".join(doubts), f"look at {loaded.file}")
    return ok("configuration", words)


def folders(paths: Paths) -> Iterator[Check]:
    """Tell whether the daemon's folders are the user's own."""
    for name, folder in (("state folder", paths.state), ("socket folder", paths.run)):
        try:
            status = folder.lstat()
        except FileNotFoundError:
            yield ok(name, f"{folder} (the daemon will make it)")
            continue
        except OSError as error:
            yield problem(name, f"{folder}: {error.strerror}")
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield problem(name, f"{folder} is not a folder of its own", f"move {folder} away")
        elif status.st_uid != os.getuid():
            yield problem(
                name, f"{folder} belongs to user {status.st_uid}", f"sudo chown $USER {folder}"
            )
        elif status.st_mode & 0o077:
            yield problem(name, f"others can enter {folder}", f"chmod 700 {folder}")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield problem(name, f"{folder} cannot be written", f"chmod 700 {folder}")
        else:
            yield ok(name, str(folder))


def disk(paths: Paths) -> Check:
    """Tell whether there is room for events, on a disk that SQLite can work on."""
    folder = _nearest(paths.state)
    kind = file_system(folder)
    if REMOTE.match(kind):
        return problem(
            "disk",
            f"{folder} is on a network file system ({kind}), on which the log is not safe",
            "set XDG_STATE_HOME to a folder on a local disk",
        )
    free = shutil.disk_usage(folder).free
    words = f"{size(free)} free on {folder} ({kind})"
    remedy = "make room, or lower retention.max_bytes in the configuration"
    if free < FREE_PROBLEM:
        return problem("disk", words, remedy)
    return warning("disk", words, remedy) if free < FREE_WARNING else ok("disk", words)


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on; `unknown` where nobody tells it."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    best, kind = "", "unknown"
    for line in lines:
        before, _, after = line.partition(" - ")
        # Blanks are written in octal (`man 5 proc`).
        place = before.split(" ")[4].encode().decode("unicode_escape")
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, after.split(" ")[0]
    return kind


def sqlite() -> Check:
    """Tell whether SQLite is new enough for a log, or for what waits for one."""
    from rtevents.stores.quick_check import NEEDED, VERSION, is_new_enough

    if not is_new_enough():
        needed = ".".join(map(str, NEEDED))
        return problem(
            "sqlite", f"version {VERSION}, {needed} is needed", "upgrade Python's SQLite"
        )
    return ok("sqlite", f"version {VERSION}")


def watch_limits(count: int) -> Iterator[Check]:
    """
    Tell whether the kernel lets everything be watched.

    Args:
        count: Folders of all projects.
    """
    if not INOTIFY.is_dir():
        return
    watches, for_watches = _limit("watches")
    instances, for_instances = _limit("instances")
    words = f"{count} folders to watch, {watches} watches and {instances} instances allowed"
    if count > watches:
        yield problem("watch limits", words, f"sudo sysctl {for_watches}={_power(count * 2)}")
    elif count > watches * 0.7:
        yield warning("watch limits", words, f"sudo sysctl {for_watches}={_power(count * 2)}")
    elif instances < 64:
        yield warning("watch limits", words, f"sudo sysctl {for_instances}=1024")
    else:
        yield ok("watch limits", words)


def _limit(what: str) -> tuple[int, str]:
    """Return how many are allowed, and the name of the setting that says so."""
    limits = [(int((INOTIFY / f"max_user_{what}").read_text()), f"fs.inotify.max_user_{what}")]
    try:
        least = int((NAMESPACE / f"max_inotify_{what}").read_text())
        limits.append((least, f"user.max_inotify_{what}"))
    except OSError:
        pass  # a kernel without user namespaces
    # Where both are the same, the first is the one that everybody knows.
    return min(limits, key=lambda limit: limit[0])


def git() -> Check:
    """Tell whether git is there, and what it can do."""
    try:
        said = subprocess.run(
            ["git", "version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return problem("git", "there is no git: commits are not seen", "install git")
    found = re.search(r"(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    words = said.removeprefix("git version ").strip()
    if version < GIT_NEEDED:
        return warning("git", f"version {words} is old", "upgrade git to 2.25 or newer")
    hooks = "runs" if version >= (2, 54) else "does not run"
    return ok("git", f"version {words}, {hooks} hooks of the configuration")


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one around it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _power(count: int) -> int:
    """Return the power of two that is not less, and not less than what is usual."""
    return max(524_288, 1 << (count - 1).bit_length())
