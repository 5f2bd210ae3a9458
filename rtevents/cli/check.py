"""rtevents check: how the daemon is, for a monitoring program to read."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import msgspec
import typer

# The vendored click has no public name in typer; the version is bounded in pyproject.toml.
from typer._click.core import Context
from typer._click.exceptions import ClickException
from typer.core import TyperCommand

from rtevents.cli import misuse, options
from rtevents.cli.output import print_json, safe
from rtevents.errors import NotReachable, RteventsError, Unavailable

app = typer.Typer(rich_markup_mode=None, add_completion=False)

OK, WARNING, CRITICAL, UNKNOWN = range(4)
"""What a plugin of Nagios ends with (Monitoring Plugins' guidelines, section 2.4)."""

NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

CODES = {"ok": OK, "degraded": WARNING, "failed": CRITICAL}


class Figure(msgspec.Struct, frozen=True):
    """
    How a figure is told.

    Args:
        name: Its name in the performance data.
        unit: Its unit there.
        scale: What it is multiplied with for that.
        series: Its name for Prometheus, in base units.
        base: What it is multiplied with for that.
        words: What it is.
    """

    name: str
    unit: str
    scale: float
    series: str
    base: float
    words: str


FIGURES = {
    "connections": Figure("connections", "", 1, "connections", 1, "Open connections."),
    "queue_share": Figure("queue", "%", 100, "queue_ratio", 1, "Fill of the queue, 0 to 1."),
    "latency_ms": Figure(
        "latency", "ms", 1, "latency_seconds", 0.001, "Seconds to store an event, as the p95."
    ),
    "errors_per_minute": Figure(
        "errors", "", 1, "errors_last_minute", 1, "Failures of the store and of handlers."
    ),
    "loop_lag_ms": Figure(
        "lag", "ms", 1, "loop_lag_seconds", 0.001, "Seconds by which the event loop was late."
    ),
    "memory_bytes": Figure("memory", "B", 1, "memory_bytes", 1, "Resident memory."),
}
"""Each figure that has a threshold, by the name of that."""


class Found(msgspec.Struct, frozen=True):
    """
    What a check found.

    Args:
        code: What it ends with.
        words: What is amiss, or that nothing is.
        metrics: Each figure's ``value``, and the ``warning`` above which it is amiss.
    """

    code: int
    words: list[str]
    metrics: dict[str, dict[str, float]] = {}


class Plugin(TyperCommand):
    """A command that ends with UNKNOWN where it is misused: 2 would be an alarm."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Take the words of the command line."""
        try:
            return super().parse_args(ctx, args)
        except ClickException as error:
            _give_up(misuse(error))

    def invoke(self, ctx: Context) -> object:
        """Do it."""
        try:
            return super().invoke(ctx)
        except ClickException as error:
            _give_up(misuse(error))


def _give_up(text: str) -> NoReturn:
    print(f"RTEVENTS UNKNOWN - {text}")
    raise typer.Exit(UNKNOWN)


@app.command(cls=Plugin)
def check(
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="One of nagios, json, prometheus, text.",
            autocompletion=lambda: list(_FORMATS),
        ),
    ] = "nagios",
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="No answer in this time is critical.")
    ] = "8s",
) -> None:
    """
    Tell how the daemon is, for a monitoring program to read.

    \b
    rtevents check
    rtevents check --format prometheus | sponge /var/lib/node-exporter/rtevents.prom

    Ends with 0 when all is well, 1 when it is degraded, 2 when no event can be stored (of several
    logs, in one of them) or no daemon answers, 3 when that cannot be told.
    """  # fmt: skip
    if form not in _FORMATS:
        _give_up(f"no format {safe(form)}, expected one of {', '.join(_FORMATS)}")
    found = _look(options.seconds(timeout, "--timeout") or 0.0)
    _FORMATS[form](found)
    raise typer.Exit(found.code)


def _look(seconds: float) -> Found:
    try:
        with options.client(timeout=seconds, retry_for=0) as client:
            status, stats = client.status(), client.stats()
    except (NotReachable, Unavailable) as error:
        return Found(CRITICAL, [str(error)])
    except RteventsError as error:
        return Found(UNKNOWN, [str(error)])
    health = status["health"]
    words = health["reasons"] or [f"{health['status']}, {status['newest']} events"]
    # Why another log takes no events is among the reasons; what goes there is refused all the same.
    logs = [log["health"]["status"] for log in status.get("logs", [])]
    code = max(CODES[each] for each in [health["status"], *logs])
    return Found(code, words, _metrics(status["thresholds"], stats))


def _metrics(limits: dict[str, float], stats: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figures; a token that is limited to projects or types is told none."""
    # Imported here: a check that finds no daemon has no use for it.
    from rtevents.core.health import figures
    from rtevents.core.stats import Snapshot

    if "queue" not in stats:
        return {}
    values = figures(msgspec.convert(stats, Snapshot))
    return {name: {"value": values[name], "warning": limits[name]} for name in FIGURES}


def _nagios(found: Found) -> None:
    # A bar begins the performance data.
    words = "; ".join(found.words).replace("|", "/")
    data = []
    for name, metric in found.metrics.items():
        figure = FIGURES[name]
        value, limit = metric["value"] * figure.scale, metric["warning"] * figure.scale
        data.append(f"{figure.name}={_number(value)}{figure.unit};{_number(limit)};;0")
    behind = f" | {' '.join(data)}" if data else ""
    print(f"RTEVENTS {NAMES[found.code]} - {safe(words)}{behind}")


def _text(found: Found) -> None:
    print(NAMES[found.code].lower())
    for reason in found.words:
        print(f"  {safe(reason)}")
    for name, metric in found.metrics.items():
        figure = FIGURES[name]
        value, limit = metric["value"] * figure.scale, metric["warning"] * figure.scale
        amount = f"{_number(value)} {figure.unit}".rstrip()
        print(f"{figure.name:<12} {amount}, warning above {_number(limit)}")


def _json(found: Found) -> None:
    print_json(
        {
            "status": NAMES[found.code].lower(),
            "code": found.code,
            "reasons": found.words,
            "metrics": found.metrics,
        }
    )


def _prometheus(found: Found) -> None:
    _series("check_status", "What the check found: 0 ok, 1 warning, 2 critical, 3 unknown.",
            found.code)  # fmt: skip
    for name, metric in found.metrics.items():
        figure = FIGURES[name]
        _series(f"check_{figure.series}", figure.words, metric["value"] * figure.base)


def _series(name: str, words: str, value: float) -> None:
    print(f"# HELP rtevents_{name} {words}\n# TYPE rtevents_{name} gauge")
    print(f"rtevents_{name} {_number(value)}")


def _number(value: float) -> str:
    """Return a number without digits that say nothing."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


_FORMATS = {"nagios": _nagios, "json": _json, "prometheus": _prometheus, "text": _text}
