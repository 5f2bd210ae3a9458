"""
A reader that is frozen from outside: it follows, checks the order, and comes back when cut off.

``frozen.py HOST:PORT STREAM EVENTS``, with header lines in RTLOAD_HEADER. It says ``ready`` when
its stream is live and ``{}`` when it has every event, in order; else it ends with the reason.
"""

import os
import re
import socket
import sys

ADDRESS = sys.argv[1].split(":")
PATH, COUNT = sys.argv[2], int(sys.argv[3])

FRAME = re.compile(rb"id: (\S+)\ndata: [^\n]*@@(\d{10}):[^\n]*\n\n")
"""An event, whole: its bookmark, and the number that the load generator gave it."""


def connect(bookmark: str) -> socket.socket:
    """Ask for the stream after a bookmark; for what is new when there is none."""
    wire = socket.create_connection((ADDRESS[0], int(ADDRESS[1])))
    resume = f"Last-Event-ID: {bookmark}\r\n" if bookmark else ""
    wire.sendall(
        f"GET {PATH} HTTP/1.1\r\nHost: {':'.join(ADDRESS)}\r\n"
        f"{os.environ.get('RTLOAD_HEADER', '')}{resume}Accept: text/event-stream\r\n\r\n".encode()
    )
    return wire


def receive(wire: socket.socket) -> bytes:
    """Return what came; nothing when the stream has ended, however it did."""
    try:
        return wire.recv(1 << 16)
    except ConnectionError:
        return b""


def main() -> None:
    """Follow until there were so many events."""
    wire, bookmark, rest, expected = connect(""), "", b"", 0
    is_live = False
    while expected < COUNT:
        data = receive(wire)
        if not data:
            wire.close()
            wire, rest = connect(bookmark), b""
            continue
        rest += data
        if not is_live and b"event: live" in rest:
            is_live = True
            print("ready", flush=True)
        if b"event: gap" in rest:
            sys.exit(f"there is a gap after {expected} events")
        end = 0
        for match in FRAME.finditer(rest):
            if int(match[2]) != expected:
                sys.exit(f"got event {int(match[2])} for {expected}")
            expected += 1
            bookmark = match[1].decode()
            end = match.end()
        rest = rest[end:]
    print("{}")


main()
