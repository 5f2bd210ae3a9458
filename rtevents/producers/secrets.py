"""What looks like a secret, by its name or by what is in it."""

from __future__ import annotations

import fnmatch
import re

NAMES = (
    ".env", ".env.*", ".netrc", ".pgpass", ".htpasswd", "id_rsa", "id_dsa", "id_ecdsa",
    "id_ed25519", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
)  # fmt: skip
"""Patterns of the names of files in which secrets are kept."""

EXAMPLES = (".example", ".sample", ".template", ".dist", ".pub")
"""How a name ends that only shows what such a file looks like."""

CONTENTS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY",
    "a key of AWS": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": rb"\b(?:gh[opusr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})",
    "a token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20}",
    "a token of Slack": rb"\bxox[abeoprs]-[A-Za-z0-9-]{10}",
    "a token of npm": rb"\bnpm_[A-Za-z0-9]{36}\b",
    "a token of PyPI": rb"\bpypi-AgE[A-Za-z0-9_-]{50}",
    "a key of Google": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "a key of Stripe": rb"\b[rs]k_live_[0-9A-Za-z]{20}",
    "a key of Anthropic": rb"\bsk-ant-[A-Za-z0-9_-]{20}",
    "a token of rtevents": rb"\brte_[A-Za-z0-9_-]{20}",
}
"""What a secret looks like, by what it is."""

_CONTENTS = {what: re.compile(pattern) for what, pattern in CONTENTS.items()}


def looks_secret(path: str, content: bytes) -> str | None:
    """Return why a file looks like a secret; None when it does not."""
    name = path.rpartition("/")[2].lower()
    if not name.endswith(EXAMPLES) and any(fnmatch.fnmatch(name, each) for each in NAMES):
        return "its name"
    return next((what for what, pattern in _CONTENTS.items() if pattern.search(content)), None)
