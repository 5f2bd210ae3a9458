"""rtevents risks: what is open, and the rules that find it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rtevents.cli import options, suggest
from rtevents.cli.known import tell_unknown
from rtevents.cli.output import is_terminal, moment, notice, print_json, safe
from rtevents.errors import BadInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rtevents.client.sync import Client
    from rtevents.core.event import Entry
    from rtevents.core.filter import Filter

SEVERITIES = ("low", "medium", "high", "critical")

MOST = 5000
"""Words on risks that are read, the newest first: as many as the dashboard keeps in mind."""

Output = Annotated[
    Literal["pretty", "json"] | None,
    typer.Option("--output", "-o", help="pretty on a terminal, else json."),
]

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)


@app.callback()
def risks(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Those that are over, or were imported, as well.")
    ] = False,
    projects: options.Projects = [],
    severity: Annotated[
        Literal["low", "medium", "high", "critical"], typer.Option(help="So bad at least.")
    ] = "low",
    rule: Annotated[
        list[str], typer.Option("--rule", metavar="NAME", help="Only what this rule found.")
    ] = [],
    output: Output = None,
) -> None:
    """
    Show the risks that are open, the worst first: those of the rules, and those of others.

    A risk is open until a RISK_ALERT says that it is closed. Of the same fingerprint, the newest
    word counts; rtevents docs risks tells more. What rtevents import took in is not open here.

    \b
    rtevents risks
    rtevents risks --severity high --project web
    rtevents risks --all -o json
    rtevents risks close secret:1f2e3d4 --reason "a made-up key"
    rtevents risks rules
    """
    if context.invoked_subcommand is not None:
        return
    from rtevents.core.filter import Filter

    options.refuse_empty("--project", [part for each in projects for part in each.split(",")])
    wanted = Filter(types=frozenset({"RISK_ALERT"}), projects=frozenset(projects))
    with options.client() as client:
        tell_unknown(client, projects)
        entries = _newest(client, wanted)
    least = SEVERITIES.index(severity)
    found = [
        risk
        for risk in _risks(entries)
        if (everything or risk["state"] != "closed")
        and SEVERITIES.index(risk["severity"]) >= least
        and (not rule or risk["rule"] in rule)
    ]
    if not everything and (left_out := sum(risk["imported"] for risk in found)):
        found = [risk for risk in found if not risk["imported"]]
        notice(f"{left_out} imported: --all shows what rtevents import took in as well")
    if len(entries) >= MOST:
        notice(f"of the newest {MOST} RISK_ALERTs, and 1000 grave ones before; there may be more")
    if is_terminal() if output is None else output == "pretty":
        _show(found, shutil.get_terminal_size().columns if is_terminal() else None)
    else:
        print_json(found)


@app.command()
def rules(
    suggested: Annotated[
        str | None,
        typer.Option(
            "--project", metavar="ID", help="Only those for it.", autocompletion=suggest.projects
        ),
    ] = None,
    output: Output = None,
) -> None:
    """
    Show the rules in force, with their thresholds.

    \b
    rtevents risks rules
    rtevents risks rules --project web -o json
    """
    with options.client() as client:
        tell_unknown(client, [] if suggested is None else [suggested])
        found = client.risk_rules()
    if suggested is not None:
        found = [each for each in found if each["project_id"] in (None, suggested)]
    if is_terminal() if output is None else output == "pretty":
        for each in found:
            _show_rule(each)
    else:
        print_json(found)


@app.command()
def close(
    fingerprint: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT", help="Of which risk: as much of it as no other has, or its id."
        ),
    ],
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why, in a few words.")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", metavar="ID", help="Of this project.", autocompletion=suggest.projects
        ),
    ] = None,
) -> None:
    """
    Close a risk: it is looked after, or none. Found again, it opens again.

    \b
    rtevents risks close secret:1f2e3d4
    rtevents risks close disk --reason "a new one is in"
    """
    from rtevents.cli.publish.sending import tell
    from rtevents.core.causes import caused_by
    from rtevents.core.event import Event
    from rtevents.core.filter import Filter

    wanted = Filter(
        types=frozenset({"RISK_ALERT"}), projects=frozenset({project} if project else ())
    )
    with options.client() as client:
        risk = _chosen(_risks(_newest(client, wanted)), fingerprint)
        fields = ("severity", "message", "rule", "fingerprint", "file_path")
        data = {name: risk[name] for name in fields if risk[name] is not None}
        data |= {"state": "closed", "reason": reason or "closed by hand"}
        event = Event(
            type="RISK_ALERT",
            data=data,
            source="cli",
            project_id=risk["project_id"],
            extensions=caused_by(client.find(risk["event_id"])),
        )
        stored = client.publish(event)
    tell(stored.event_id, stored.seq, duplicate=stored.duplicate)


def _chosen(risks: Iterable[dict[str, Any]], asked: str) -> dict[str, Any]:
    """
    Return the open risk of a fingerprint, or of the beginning of one, or of an event id.

    Raises:
        NotFound: There is none.
        BadInput: There are several.
    """
    opened = [risk for risk in risks if risk["state"] != "closed"]
    whole = [risk for risk in opened if asked in (risk["fingerprint"], risk["event_id"])]
    found = whole or [
        risk for risk in opened if asked and _begins(risk["fingerprint"] or "", asked)
    ]
    if not found:
        raise NotFound(f"no risk {asked[:80]!r} is open; see: rtevents risks")
    if len(found) > 1:
        names = ", ".join(
            f"{risk['fingerprint']} of {risk['project_id'] or 'no project'}" for risk in found[:5]
        )
        raise BadInput(
            f"{asked[:80]!r} is of {len(found)} risks: {names}; write more, or --project"
        )
    return found[0]


def _begins(fingerprint: str, asked: str) -> bool:
    """Tell whether a fingerprint begins so, with the rule or after it."""
    return fingerprint.startswith(asked) or fingerprint.partition(":")[2].startswith(asked)


def _short(fingerprint: str | None, rule: str | None) -> str:
    """Return what is written of a fingerprint: enough for close, most often."""
    if fingerprint is None:
        return f"({rule or '-'})"
    if rule and fingerprint.startswith(f"{rule}:"):
        return fingerprint[: len(rule) + 8]
    return f"({rule or '-'})  {fingerprint[:40]}"


def _newest(client: Client, wanted: Filter) -> list[Entry]:
    """Return the newest words on risks, the newest first."""
    entries: list[Entry] = []
    until = None
    while len(entries) < MOST:
        page = client.history(wanted, until=until, limit=1000, order="desc")
        entries += page.events
        if not page.events or page.next.seq < page.oldest:
            break
        until = str(page.next)
    else:
        # The grave ones for themselves: thousands of newer words must not hide them.
        import msgspec

        grave = msgspec.structs.replace(wanted, wheres=frozenset({'data.severity >= "high"'}))
        more = client.history(grave, until=until, limit=1000, order="desc").events
        return entries + more
    return entries


def _risks(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """
    Return each risk as its newest word has it, the worst and newest first.

    What was imported says something of no risk of which there is a word of this log's own.
    """
    from rtevents.core.imported import is_imported

    risks: dict[tuple[Any, ...], dict[str, Any]] = {}
    begun: set[tuple[Any, ...]] = set()
    for entry in sorted(entries, key=is_imported):
        if entry.is_corrupt:
            continue
        data = entry.event.data
        # Without a fingerprint, the same words about the same project are the same risk.
        mark = data.get("fingerprint")
        words = (mark,) if mark else (data["severity"], data["message"])
        key = (entry.project_id, *words)
        known = risks.setdefault(
            key,
            {
                "severity": data["severity"],
                "state": data.get("state") or "open",
                "rule": data.get("rule"),
                "message": data["message"],
                "project_id": entry.project_id,
                "timestamp": entry.timestamp,
                "count": data.get("count"),
                "fingerprint": mark,
                "event_id": entry.event_id,
                "evidence": data.get("evidence") or [],
                "file_path": data.get("file_path"),
                "since": entry.timestamp,
                "imported": is_imported(entry),
            },
        )
        if is_imported(entry) and not known["imported"]:
            continue
        if key not in begun:  # what was open, and over, before it opened last is another story
            known["since"] = entry.timestamp
        if known["state"] == "open" or data.get("state") == "open":
            begun.add(key)
    return sorted(
        risks.values(),
        key=lambda risk: (-SEVERITIES.index(risk["severity"]), -risk["timestamp"]),
    )


def _show(risks: Iterable[dict[str, Any]], columns: int | None) -> None:
    """
    Print risks for a person, one a line.

    Args:
        columns: Those of the terminal: a longer line becomes several; None for none.
    """
    import textwrap

    below = textwrap.TextWrapper(
        max(columns or 0, 20), initial_indent="    ", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    is_any = False
    for risk in risks:
        is_any = True
        worst = risk["severity"] in ("high", "critical")
        colour = typer.colors.RED if worst else typer.colors.YELLOW
        if risk["state"] == "closed":
            colour = typer.colors.GREEN
        severity = typer.style(f"{risk['severity']:<9}", fg=colour)
        project = safe(risk["project_id"] or "-")
        words = f"{'over ' if risk['state'] == 'closed' else ''}{safe(risk['message'])}"
        words += " (imported)" if risk["imported"] else ""
        since = moment(risk["since"], "%Y-%m-%d %H:%M")
        mark = safe(_short(risk["fingerprint"], risk["rule"]))
        length = len(f"{risk['severity']:<9} {since}  {project:<12}  {words}  {mark}")
        begin = f"{severity} {typer.style(since, dim=True)}  {project:<12}  "
        dim = typer.style(mark, dim=True)
        if columns is None or length <= columns:
            typer.echo(f"{begin}{words}  {dim}")
        else:  # the words below, for a terminal breaks them anywhere
            typer.echo(f"{begin}{dim}")
            typer.echo(below.fill(words))
    if not is_any:
        typer.echo("no risk is open")


def _show_rule(rule: dict[str, Any]) -> None:
    """Print a rule for a person: what it is, and a line of its thresholds."""
    where = f" of {safe(rule['project_id'])}" if rule["project_id"] else ""
    name = typer.style(f"{safe(rule['name'])}{where}", bold=True)
    typer.echo(f"{name}  {rule['severity']}  {safe(rule['about'])}")
    words = [f"{safe(key)}={safe(_value(value))}" for key, value in rule["settings"].items()]
    if words:
        typer.echo(typer.style("    " + "  ".join(words), dim=True))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
