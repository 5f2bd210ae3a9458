"""Faults: each is done to the real daemon, and what must hold is looked at."""
