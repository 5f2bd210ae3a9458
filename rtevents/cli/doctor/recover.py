"""What can be read of a damaged log."""

from __future__ import annotations

import sys
from pathlib import Path

from rtevents.cli.output import ascii_line, notice, safe
from rtevents.errors import RteventsError


def recover(file: Path, into: Path | None) -> None:
    """
    Print the entries that are good as NDJSON, or write them to a new log, and tell how many.

    Args:
        file: The damaged database; it is not changed.
        into: The new log; None to print.
    Raises:
        RteventsError: There is none that is good.
    """
    from rtevents.stores.backup import new_file
    from rtevents.stores.rescue import Rescue

    with Rescue(file.expanduser().resolve()) as rescue:
        if into is not None and rescue.good:
            target = into.expanduser().absolute()
            with new_file(target) as new:
                rescue.write(new)
            notice(f"a new log is in {safe(str(target))}")
        elif into is None:
            for entry in rescue.entries():
                print(ascii_line(entry.wire))
            sys.stdout.flush()
        missing = rescue.expected - rescue.good - rescue.damaged
        told = (
            f"{rescue.good} of {rescue.expected} entries ({rescue.first} to {rescue.last}) are "
            f"recovered; {rescue.damaged} are damaged, {missing} are not there"
        )
        if not rescue.good:
            raise RteventsError(told)
        notice(told)
