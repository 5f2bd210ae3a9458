"""python -m tests.benchmarks: run the rows and print one table."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.benchmarks import table
from tests.benchmarks.claims import Medians
from tests.benchmarks.load import compiled
from tests.benchmarks.measure import measure
from tests.benchmarks.works import ROWS


class Report(msgspec.Struct):
    """
    What was found.

    Args:
        where: The machine and the day, in words.
        rounds: Runs of each server.
        rows: The medians, by the names of row and run.
        missing: Why runs are missing, by the name of the row.
    """

    where: str
    rounds: int
    rows: dict[str, dict[str, Medians]] = {}
    missing: dict[str, list[str]] = {}


def main() -> int:
    """Run what the arguments name; the exit code is 1 when a claim is not reached."""
    arguments = _parse()
    if arguments.source:
        report = _read(arguments.source, arguments.rows)
        if not arguments.markdown:
            for name in report.rows:
                _show(report, name)
    else:
        report = _run(arguments.rows, arguments.rounds, is_shown=not arguments.markdown)
    if arguments.markdown:
        print(
            "\n".join(table.markdown([(ROWS[name], found) for name, found in report.rows.items()]))
        )
        print(f"\nµs: the server's CPU. {report.where}; {_rounds(report.rounds)}.")
    if arguments.json:
        encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
        arguments.json.write_bytes(encoded + b"\n")
    return 1 if _failed(report) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Run rtevents and each peer that is installed on the same work, in turns.",
        epilog="Rows: " + "; ".join(f"{name}: {row.title}" for name, row in ROWS.items()),
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there too")
    parser.add_argument(
        "--from", dest="source", type=Path, action="append", metavar="FILE",
        help="run nothing: show what --json wrote; given again, its rows are added",
    )  # fmt: skip
    parser.add_argument(
        "--markdown", action="store_true", help="print the short table of the README instead"
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {arguments.rounds}")
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"no row {sorted(unknown)[0]!r}: choose from {', '.join(ROWS)}")
    if lacking := [file for file in arguments.source or [] if not file.is_file()]:
        parser.error(f"no file {str(lacking[0])!r}")
    return arguments


def _read(files: Sequence[Path], wanted: Sequence[str]) -> Report:
    """Return what is in the files, the later one counting, in the order of the rows."""
    reports = [msgspec.json.decode(file.read_bytes(), type=Report) for file in files]
    rows: dict[str, dict[str, Medians]] = {}
    missing: dict[str, list[str]] = {}
    for report in reports:
        rows |= report.rows
        missing |= report.missing
    return Report(
        where=" and ".join(dict.fromkeys(report.where for report in reports)),
        rounds=min(report.rounds for report in reports),
        rows={name: rows[name] for name in ROWS if name in rows and name in (wanted or ROWS)},
        missing=missing,
    )


def _run(names: Sequence[str], rounds: int, *, is_shown: bool) -> Report:
    compiled("load")
    report = Report(_where(), rounds)
    for name in names or ROWS:
        report.rows[name], report.missing[name] = measure(ROWS[name], rounds, _tell)
        _tell("")
        if is_shown:
            _show(report, name)
    return report


def _show(report: Report, name: str) -> None:
    lines = table.text(ROWS[name], report.rows[name], report.missing.get(name, []))
    print("\n".join(lines), flush=True)


def _failed(report: Report) -> bool:
    """Return whether something was lost, or a claim is not reached that could be judged."""
    return any(
        not all(one.ok for one in found.values())
        or any(claim.is_failed(found) for claim in ROWS[name].claims)
        for name, found in report.rows.items()
    )


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"medians of {count} rounds, the servers in turns"


def _where() -> str:
    """Return the machine and the day, in words."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = models[0] if models else platform.machine()
    return (
        f"{os.cpu_count()} cores of {processor}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


sys.exit(main())
