"""What was found, as text: a table to read, the short one of the README, and plots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tests.benchmarks.claims import Claim, Medians
from tests.benchmarks.measure import Line, Row

PLOT_WIDTH = 40
"""Columns of the longest bar."""

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Blocks that fill so many eighths of a column."""

SEPARATOR = " · "
"""What stands between the figures of one run."""

CLAIM = re.compile(r"(?:(?P<who>.+?): )?(?P<what>.*?) ?(?P<limit>[<>]=.*)")
"""The words of a claim."""

Found = Mapping[str, Medians]


def text(row: Row, found: Found, missing: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a row's table: every figure, every claim, and what is missing."""
    yield f"\n{row.title}"
    if any(one.del_s or one.ev_s for one in found.values()):
        yield from _loads(found)
    else:
        yield from _figures_of(found)
    for line in row.lines:
        if line.plot:
            yield from plot(line, found)
    for claim in row.claims:
        verdict = claim.judge(found)
        if verdict is None:
            yield f"  ?     {claim.text}"
        else:
            value, is_reached = verdict
            yield f"  {_word(claim, is_reached):<6}{claim.text}: {number(value)}"
    for reason in missing:
        yield f"  ({reason})"


def _figures_of(found: Found) -> Iterator[str]:
    """Yield a line for each run, with all its figures."""
    names = [
        field
        for field in Medians.__struct_fields__
        if field not in ("ok", "beside") and any(_figure(one, field) for one in found.values())
    ]
    yield f"  {'':<18}" + "".join(f"{name.replace('_', ' '):>12}" for name in names)
    for name, one in found.items():
        cells = "".join(f"{number(_figure(one, field)):>12}" for field in names)
        yield f"  {name:<18}{cells}" + ("" if one.ok else "  LOST")


def _loads(found: Found) -> Iterator[str]:
    yield (
        f"  {'':<18}{'events/s':>10}{'deliver./s':>13}{'us/delivery':>13}{'us/event':>10}"
        f"{'p50':>8}{'p95':>8}{'p99 ms':>8}{'ack p99':>9}{'+MiB':>7}"
    )
    for name, one in found.items():
        yield (
            f"  {name:<18}{one.ev_s:>10,.0f}{one.del_s:>13,.0f}{one.cpu_del:>13.3f}"
            f"{one.cpu_ev:>10.1f}{one.p50:>8.1f}{one.p95:>8.1f}{one.p99:>8.1f}"
            f"{one.ack_p99:>9.2f}{one.grown:>7.1f}" + ("" if one.ok else "  LOST OR OUT OF ORDER")
        )
        if one.beside:
            yield f"  {'':<18}{'mean':>8}{'p50':>8}{'p95':>8}{'p99 ms':>8}{'count':>8}"
            for what, took in one.latencies.items():
                yield (
                    f"  {what:<18}{took.mean:>8.2f}{took.p50:>8.2f}{took.p95:>8.2f}"
                    f"{took.p99:>8.2f}" + (f"{took.count:>8}" if took.count else "")
                )


def plot(line: Line, found: Found) -> Iterator[str]:
    """Yield a plot of a line's first figure: a bar for each run, all from zero."""
    names = [name for name in line.runs or found if name in found]
    figures = [_figure(found[name], line.fields[0]) for name in names]
    if not figures:
        return
    most = max(figures)
    labels = [name.split(", ")[-1] for name in names]
    yield f"  {line.plot}"
    for label, value, name in zip(labels, figures, names, strict=True):
        eighths = round(8 * PLOT_WIDTH * value / most) if most else 0
        bar = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
        yield f"  {label:>{max(map(len, labels))}} {bar} {_shown(line, found[name])}"


def markdown(rows: Sequence[tuple[Row, Found]]) -> Iterator[str]:
    """Yield the short table, and the plots below it."""
    yield "| work | rtevents | others | must be → is |"
    yield "|---|---|---|---|"
    plots: list[str] = []
    for row, found in rows:
        for line in row.lines:
            yield f"| {line.text} | {_ours(row, line, found)} | {_others(row, line, found)} | " + (
                f"{'; '.join(_verdict(line, claim, found) for claim in line.claims)} |"
            )
            if line.plot:
                plots += [*plot(line, found), ""]
    if plots:
        yield ""
        yield "```"
        yield from plots[:-1]
        yield "```"


def _ours(row: Row, line: Line, found: Found) -> str:
    return _figures(row, line, found, is_ours=True)


def _others(row: Row, line: Line, found: Found) -> str:
    return _figures(row, line, found, is_ours=False)


def _figures(row: Row, line: Line, found: Found, *, is_ours: bool) -> str:
    cells = []
    for run in row.runs:
        if run.is_ours != is_ours or (line.runs and run.name not in line.runs):
            continue
        name = "" if line.plot else run.name.removeprefix("rtevents").strip()
        shown = _shown(line, found[run.name]) if run.name in found else "not measured"
        if line.plot:
            shown = shown.split(SEPARATOR)[0]
        cells.append(f"{name} **{shown}**".strip() if is_ours else f"{name} {shown}")
    return (", " if not line.plot else " → ").join(cells)


def _shown(line: Line, one: Medians) -> str:
    lost = "" if one.ok else " LOST OR OUT OF ORDER"
    if line.latency:
        took = one.latencies[line.latency]
        figures = [took.p50, took.p95, took.p99]
    else:
        figures = [_figure(one, field) for field in line.fields]
    return SEPARATOR.join(map(number, figures)) + lost


def _figure(one: Medians, field: str) -> float:
    value: float = getattr(one, field)
    return value


def _verdict(line: Line, claim: Claim, found: Found) -> str:
    words = _short(line, claim)
    verdict = claim.judge(found)
    if verdict is None:
        return f"{words} → not measured"
    value, is_reached = verdict
    word = _word(claim, is_reached)
    return f"{words} → {number(value)} {'**NO**' if word == 'NO' else word}"


def _word(claim: Claim, is_reached: bool) -> str:
    return "yes" if is_reached else "no" if claim.is_beyond else "NO"


def _short(line: Line, claim: Claim) -> str:
    """Return a claim's words without those that the line has already."""
    match = CLAIM.fullmatch(claim.text)
    assert match is not None, claim.text
    who, what, limit = match.group("who", "what", "limit")
    limit = limit.replace("<=", "≤").replace(">=", "≥").replace(" x ", " × ")
    has_one = len(line.fields) == 1 and not line.latency
    shown = [f"{who}:" if who and who != line.latency else "", "" if has_one else what, limit]
    return " ".join(filter(None, shown))


def number(value: float) -> str:
    """Return a figure with two or three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
