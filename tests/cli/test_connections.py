"""The table of connections, in terminals of every width."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from rtevents.cli.stats import connections_table

ID = "g6IPXieZswZdQsGRZ7tlFg"


def connection(**fields: Any) -> dict[str, Any]:
    """Return a connection as the daemon tells it."""
    return {
        "connection_id": ID,
        "kind": "websocket",
        "principal": "owner",
        "pid": 123456,
        "connected_at": time.time() - 3700,
        "filter": {"type": ["COMMIT", "RISK_ALERT"], "project": ["web"]},
        "lag": 2000,
        "delivered": 1_000_000,
        "bytes": 10**8,
    } | fields


def shown(width: int, *connections: dict[str, Any]) -> list[str]:
    """Return the lines that a terminal of this width shows."""
    out = io.StringIO()
    Console(file=out, width=width).print(connections_table(list(connections), width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (140, ["connection", "kind", "who", "pid", "since", "filter", "lag", "delivered", "sent"]),
        (80, ["connection", "kind", "who", "pid", "filter", "lag"]),
        (60, ["connection", "pid", "filter", "lag"]),
        (40, ["connection", "lag"]),
    ],
)
def test_what_has_no_room_is_left_out_whole_and_said(width: int, columns: list[str]) -> None:
    everything = shown(500, connection())[0].split()
    lines = shown(width, connection(), connection(filter={}, lag=3000))

    assert lines[0].split() == columns
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if line.startswith(ID)] == [ID, ID]
    assert [line.split()[-1] for line in lines if line.startswith(ID)][-1:] != ["…"]
    assert "…" not in "".join(lines)
    note = " ".join(lines).partition("no room for ")[2].partition(":")[0]
    assert sorted([*columns, *note.replace(",", "").split()]) == sorted(everything)


def test_a_long_filter_is_folded_whole() -> None:
    names = [f"TYPE_{number}" for number in range(20)]

    lines = shown(80, connection(filter={"type": names}))

    begin, end = lines[0].index("filter"), lines[0].index("lag") - len("2000") + len("lag")
    folded = "".join(line[begin:end].strip() for line in lines[1:-1])
    assert folded == f"type={','.join(names)}"


def test_nobody_is_said() -> None:
    assert shown(80) == ["nobody is connected"]
