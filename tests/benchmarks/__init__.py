"""
Every performance claim, measured against the systems a user would pick instead.

``python -m tests.benchmarks`` runs rtevents and each peer that it finds on the same work, in turns,
and prints one table; it installs nothing. See ``--help``.
"""
