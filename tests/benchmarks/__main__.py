"""python -m tests.benchmarks: run the rows and print one table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec

from tests.benchmarks.load import compiled
from tests.benchmarks.works import ROWS, Medians, Row, judge, measure


def main() -> int:
    """Run what the arguments name; the exit code is 1 when a claim is not reached."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Run rtevents and each peer that is installed on the same work, in turns.",
        epilog="Rows: " + "; ".join(f"{name}: {row.title}" for name, row in ROWS.items()),
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there too")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"no row {sorted(unknown)[0]!r}: choose from {', '.join(ROWS)}")
    compiled("load")
    report: dict[str, dict[str, Medians]] = {}
    failed = 0
    for name in arguments.rows or ROWS:
        row = ROWS[name]
        found, missing = measure(row, arguments.rounds, _tell)
        report[name] = found
        failed += show(row, found, missing)
    if arguments.json:
        arguments.json.write_text(json.dumps(msgspec.to_builtins(report), indent=2) + "\n")
    return 1 if failed else 0


def show(row: Row, found: dict[str, Medians], missing: list[str]) -> int:
    """Print a row's table; return how many of its claims are not reached."""
    _tell("")
    print(f"\n{row.title}")
    if any(one.kib for one in found.values()):
        print(f"  {'':<18}{'KiB each':>12}{'set up/s':>12}")
        for name, one in found.items():
            print(f"  {name:<18}{one.kib:>12.1f}{one.set_up:>12,.0f}")
    else:
        print(
            f"  {'':<18}{'events/s':>10}{'deliver./s':>13}{'us/delivery':>13}{'us/event':>10}"
            f"{'p50':>8}{'p95':>8}{'p99 ms':>8}{'ack p99':>9}"
        )
        for name, one in found.items():
            print(
                f"  {name:<18}{one.ev_s:>10,.0f}{one.del_s:>13,.0f}{one.cpu_del:>13.3f}"
                f"{one.cpu_ev:>10.1f}{one.p50:>8.1f}{one.p95:>8.1f}{one.p99:>8.1f}"
                f"{one.ack_p99:>9.2f}" + ("" if one.ok else "  LOST OR OUT OF ORDER")
            )
    failed = sum(not one.ok for one in found.values())
    for claim, value, is_reached in judge(row, found):
        if value is None:
            print(f"  ?     {claim.text}")
            continue
        failed += not is_reached
        print(f"  {'yes' if is_reached else 'NO':<6}{claim.text}: {value:.3g}")
    for line in missing:
        print(f"  ({line})")
    sys.stdout.flush()
    return failed


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


sys.exit(main())
