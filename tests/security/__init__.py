"""Attacks: each is tried on the real daemon, and what must hold is looked at."""
