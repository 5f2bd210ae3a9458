"""Child: the command that is run, as if it had been run without us."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from rtevents.cli.runner.passage import Passage

NOT_FOUND, NOT_RUN = 127, 126
"""How a shell ends for a command that is not there, and for one that cannot be run."""

RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and a command should not."""

WATCHED = frozenset(
    (
        signal.SIGCHLD,
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGTSTP,
        signal.SIGCONT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    )
)

FROM_TERMINAL = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH))
"""Signals that a terminal sends to the command as well: it is in our process group."""


class Child:
    """
    A command in our process group, with our terminal and our standard input.

    Args:
        words: The command.
        env: Its environment.
        passages: What it prints, by its descriptor.
        progress: Our end of what it tells its progress on, and the descriptor that it has there.
    Raises:
        OSError: It cannot be run.
    """

    def __init__(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        passages: Mapping[int, Passage],
        progress: tuple[int, int] | None = None,
    ) -> None:
        self._passages = {*passages.values()}
        # Whoever ignores this signal gets no word of its own children.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Before the threads, that leave every signal to `wait` then.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        ends = [(each.end, fd) for fd, each in passages.items()]
        if progress is not None:
            ends.append(progress)
            os.set_inheritable(progress[0], progress[0] == progress[1])
        actions = [(os.POSIX_SPAWN_DUP2, *each) for each in ends]
        try:
            self.pid = os.posix_spawnp(
                words[0],
                [*words],
                env,
                file_actions=actions,
                setsigmask=mask,
                setsigdef=RESTORED,
            )
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        finally:
            if progress is not None:
                os.close(progress[0])
            for passage in self._passages:
                passage.hand_over()
        for passage in self._passages:
            passage.start()

    def wait(self) -> int:
        """Return how it ended, minus a signal's number; pass on meanwhile what we are sent."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and not os.WIFSTOPPED(status):
                for passage in self._passages:
                    passage.finish()
                return os.waitstatus_to_exitcode(status)
            if pid:
                # It was stopped, as by Ctrl-Z: whoever waits for us is to see that.
                os.kill(os.getpid(), signal.SIGSTOP)
                self._send(signal.SIGCONT)
            self._pass_on(*_next_signal())

    def _pass_on(self, number: int, is_terminals: bool) -> None:
        if number == signal.SIGWINCH:
            for passage in self._passages:
                passage.resize()
            self._send(number)  # again: its terminal has the new size only now
        elif number != signal.SIGCHLD and not is_terminals:
            self._send(number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _next_signal() -> tuple[int, bool]:
    """Wait for a signal; return it, and whether the terminal sent it to the command as well."""
    if not hasattr(signal, "sigwaitinfo"):  # as on macOS
        number = signal.sigwait(WATCHED)
        return number, number in FROM_TERMINAL and os.isatty(0)
    told = signal.sigwaitinfo(WATCHED)
    return told.si_signo, told.si_signo in FROM_TERMINAL and told.si_code > 0


def free_descriptor() -> int:
    """
    Return a descriptor that a command can have for its own, and a shell can name by one digit.

    One that we were given is passed on to the command as it is.
    """
    for fd in range(3, 10):
        try:
            if not os.get_inheritable(fd):
                return fd  # ours alone: the command does not have it
        except OSError:
            return fd
    return 10
