"""The command line: one file per command, and the table of them all."""

from __future__ import annotations

import gc
import importlib
import io
import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

# The vendored click has no public name in typer; the version is bounded in pyproject.toml.
from typer._click.core import Command, Context
from typer._click.exceptions import ClickException
from typer._click.formatting import HelpFormatter
from typer.core import TyperGroup

from rtevents import __version__
from rtevents.errors import EXIT_INTERRUPTED, EXIT_MISUSE, RteventsError, outcome

COMMANDS = {
    "serve": ("rtevents.cli.serve:app", "Run the daemon, or add projects to the one that runs."),
    "stop": ("rtevents.cli.stop:app", "End the daemon; what it has accepted is stored before."),
    "reload": ("rtevents.cli.reload:app", "Have the daemon read its configuration again."),
    "status": (
        "rtevents.cli.status:app",
        "Tell how the daemon is, where it listens, what it watches.",
    ),
    "publish": ("rtevents.cli.publish:app", "Publish an event."),
    "run": ("rtevents.cli.runner:app", "Run a command, and tell of it as of a task."),
    "tail": ("rtevents.cli.tail:app", "Follow the stream."),
    "history": ("rtevents.cli.history:app", "Show a page of what is kept, and end."),
    "trace": ("rtevents.cli.trace:app", "Show what caused an event, and what came of it."),
    "risks": ("rtevents.cli.risks:app", "Show the risks that are open, and the rules for them."),
    "on": ("rtevents.cli.on:app", "Run a command whenever something happens."),
    "wait": ("rtevents.cli.wait:app", "Wait until something happens: 0, or 124 when it does not."),
    "sinks": (
        "rtevents.cli.sinks:app",
        "Show the configured reactions, and replay what they gave up.",
    ),
    "trust": ("rtevents.cli.trust:app", "Let a project's own file have its commands run."),
    "export": ("rtevents.cli.record.export:app", "Write what is kept into a recording."),
    "import": ("rtevents.cli.record.intake:app", "Publish the events of a recording."),
    "replay": ("rtevents.cli.record.replay:app", "Let what was recorded happen again."),
    "report": ("rtevents.cli.report:app", "Tell what happened, counted: files, commits, tasks."),
    "predict": ("rtevents.cli.predict:app", "Tell which files are likely to change next."),
    "project": ("rtevents.cli.project:app", "Add, remove or list what is watched."),
    "watch": ("rtevents.cli.watch:app", "Tell why a path is watched, or is not."),
    "hook": ("rtevents.cli.hook:app", "Install, remove or inspect the git hook."),
    "stats": (
        "rtevents.cli.stats:app",
        "Show how busy the daemon is: rates, queue, connections, lag.",
    ),
    "connections": (
        "rtevents.cli.connections:app",
        "Show who is connected, with filter, lag and bytes.",
    ),
    "top": ("rtevents.cli.top:app", "Show who is connected, live; sort, and end a connection."),
    "check": ("rtevents.cli.check:app", "Tell how the daemon is, for a monitoring program."),
    "doctor": (
        "rtevents.cli.doctor:app",
        "Look for what is wrong, and tell what to do about it.",
    ),
    "backup": ("rtevents.cli.backup:app", "Copy the log while it is in use."),
    "migrate": ("rtevents.cli.migrate:app", "Move the log to the store of the configuration."),
    "bench": (
        "rtevents.cli.bench:app",
        "Measure how fast the daemon is: publish, fanout, latency.",
    ),
    "types": ("rtevents.cli.types:app", "Show the event types, and what their data holds."),
    "token": ("rtevents.cli.token:app", "Make, list, check or revoke what lets in over TCP."),
    "audit": ("rtevents.cli.audit:app", "Show who was let in to do what, and who was refused."),
    "dashboard": ("rtevents.cli.dashboard:app", "Open the stream in your browser, logged in."),
    "config": ("rtevents.cli.config:app", "Show, check or print the settings."),
    "docs": ("rtevents.cli.docs:app", "Read a page of the manual, or list them."),
    "completion": ("rtevents.cli.completion:app", "Print the completion script of a shell."),
}
"""Every command: where it is, and what it does in a line; it is loaded when it is used."""


class Commands(TyperGroup):
    """The commands of a table: one that is not used is not imported."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = COMMANDS

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command; None when there is none of that name."""
        if cmd_name not in self.table:
            return None
        module, _, name = self.table[cmd_name][0].partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), name))
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Return the command of the first word; one that is not there is told with the nearest."""
        if not (args[0] in self.table or args[0].startswith("-") or ctx.resilient_parsing):
            import difflib

            near = difflib.get_close_matches(args[0], self.table, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            ctx.fail(f"no such command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self.table.items()])


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rtevents {__version__}")
        raise typer.Exit


@app.callback()
def rtevents(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something fails.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """
    What happens in your projects as one ordered, durable, replayable stream.

    \b
    rtevents serve                                   run the daemon on this project
    rtevents tail --type RISK_ALERT                  follow the stream
    rtevents publish risk "disk full" --severity high
    rtevents docs integration                        how to use it from elsewhere
    """


def main() -> None:
    """Run the command line; the console script."""
    # Where the locale knows only ASCII, a file's name must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    # The interpreter collects garbage as it ends: 13 ms of a short command's 80, for nothing.
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command line; return its exit code (DESIGN section 6)."""
    if "_RTEVENTS_COMPLETE" in os.environ:
        # A shell asks; typer answers only where its own --show-completion is set up, or after this.
        from typer._completion_classes import completion_init

        completion_init()
    arguments = _debug_first(arguments)
    is_debugging = arguments[:1] == ["--debug"]
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments or ["--help"], prog_name="rtevents", standalone_mode=False)
        if sys.stdout is not None:  # it may be closed
            sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        # click makes a broken pipe an exit with 1, and nothing else here exits.
        # `rtevents tail | head -1`: whoever read has had enough. Python would complain at its end.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ClickException as error:
        return _tell(misuse(error), EXIT_MISUSE)
    except Exception as error:
        if is_debugging:
            raise
        return _tell(*_failure(error))
    return code if isinstance(code, int) else 0


def _tell(text: str, code: int) -> int:
    print(f"rtevents: {text}", file=sys.stderr)
    return code


def _failure(error: Exception) -> tuple[str, int]:
    """Return what went wrong in one line, and the exit code; --debug shows where."""
    if isinstance(error, RteventsError):
        return _safe(str(error)), outcome(error)[1]
    if isinstance(error, OSError):  # a folder that cannot be written, a disk that is full
        where = f"{error.filename}: " if error.filename else ""
        return _safe(f"{where}{error.strerror or error}"), 1
    if isinstance(error, UnicodeEncodeError):  # the shell's bytes, on their way to the daemon
        return _safe(f"not UTF-8 text: {str(error.object)[:80]!r}"), EXIT_MISUSE
    text = _safe(f"{type(error).__name__}: {error}")
    return f"a bug: {text} (rtevents --debug … shows more)", 1


def _debug_first(arguments: list[str]) -> list[str]:
    """Return the words with `--debug` in front, wherever a person wrote it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = [word for word in arguments[:end] if word != "--debug"]
    return ["--debug"] * (len(words) < end) + words + arguments[end:]


def misuse(error: ClickException) -> str:
    """Return what is wrong with a command line, and where the help is, in one line."""
    text = _safe(" ".join(error.format_message().split()).rstrip("."))
    text = re.sub(r"\. Did you mean '(\S+)'.*\?$", r", did you mean \1?", text)
    own = text.removeprefix("Invalid value: ")
    # Ours may begin with what somebody named: the capital of a file's name is its own.
    text = own if own != text else text[:1].lower() + text[1:]
    context: Context | None = getattr(error, "ctx", None)
    if context is None:
        return text
    if text == "missing command" and isinstance(context.command, TyperGroup):
        text += f", one of {', '.join(context.command.list_commands(context))}"
    return f"{text}; see: {context.command_path} --help"


def _safe(text: str) -> str:
    # Imported here: a command that goes well has its own use for it, or none.
    from rtevents.cli.output import safe

    return safe(text)
