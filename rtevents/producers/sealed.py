"""SealedGit: git, asked so that nothing runs which a repository's own configuration names (S15)."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path

from rtevents.errors import RteventsError

OPTIONS = (
    "--no-optional-locks",
    "--literal-pathspecs",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.pager=cat",
    "-c", "protocol.allow=never",
    "-c", "log.showSignature=false",
    "-c", "log.showRoot=true",
)  # fmt: skip
"""Switches off whatever a repository's own configuration could run (S15)."""

ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # A commit has the parents that are written in it.
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Unlike protocol.allow, no configuration overrides it.
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")

PIECE = 64 * 1024
"""Bytes that are read at once of what git prints for long."""


class SealedGit:
    """
    git in one folder. Every method waits for it: call it in a thread.

    Args:
        root: The folder.
        timeout: Seconds after which a command is given up.
    """

    def __init__(self, root: Path, timeout: float) -> None:
        # GitPython looks for git when it is imported, and fails then; a missing git is told when
        # used. And that takes a while: a start with nothing to watch does without it.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from git import Git

        self.root = root
        self._timeout = timeout
        self._git = Git(str(root))
        self._git.update_environment(**ENVIRONMENT)

    def ask(self, *arguments: str, given: str | None = None, check: bool = True) -> bytes:
        """
        Run git; return what it printed.

        Raises:
            RteventsError: It failed, and that was to be an error.
        """
        from git import GitCommandError, GitCommandNotFound

        with tempfile.TemporaryFile() as istream:
            if given is not None:
                istream.write(given.encode())
                istream.seek(0)
            try:
                told = self._git.execute(
                    # -C: GitPython runs git wherever the daemon is once the folder is gone.
                    ["git", "-C", str(self.root), *OPTIONS, *arguments],
                    istream=istream,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    kill_after_timeout=self._timeout,
                )
            except GitCommandError as error:
                if not check:
                    return b""
                text = str(error.stderr).strip().removeprefix("stderr: ").strip("'")
                raise RteventsError(f"git {arguments[0]}: {' '.join(text.split())}") from error
            except (GitCommandNotFound, OSError, subprocess.SubprocessError) as error:
                raise RteventsError(f"git cannot be run: {error}") from error
        return told if isinstance(told, bytes) else b""

    def ask_for(self, most: int, seconds: float, *arguments: str, given: str) -> bytes:
        """
        Run git, and return the beginning of what it prints: so many bytes, in so many seconds.

        Raises:
            RteventsError: It cannot be run.
        """
        from git import GitCommandNotFound

        told = bytearray()
        with tempfile.TemporaryFile() as istream:
            istream.write(given.encode())
            istream.seek(0)
            try:
                process = self._git.execute(
                    ["git", "-C", str(self.root), *OPTIONS, *arguments],
                    istream=istream,
                    as_process=True,
                )
            except (GitCommandNotFound, OSError) as error:
                raise RteventsError(f"git cannot be run: {error}") from error
            running = process.proc
            if running is None or running.stdout is None:
                raise RteventsError("git has ended at once")
            ending = threading.Timer(min(seconds, self._timeout), running.kill)
            ending.start()
            try:
                while len(told) < most and (some := running.stdout.read(PIECE)):
                    told += some
            finally:
                ending.cancel()
                running.kill()
                running.communicate()
        return bytes(told[:most])

    def commit_of(self, revision: str) -> str | None:
        """Return the object id of the commit that a revision names; None when it names none."""
        if "\0" in revision:
            return None  # no program can be given that
        told = self.ask(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            check=False,
        )  # fmt: skip
        sha = told.decode(errors="replace").strip()
        return sha if SHA.match(sha) else None
