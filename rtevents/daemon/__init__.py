"""The daemon: puts the house together, and is its only shell."""

from rtevents.daemon.run import Running, run

__all__ = ["Running", "run"]
