"""What looks like a secret, by its name or by what is in it."""

from __future__ import annotations

import fnmatch
import re

NAMES = (
    ".env", ".env.*", ".netrc", "_netrc", ".pgpass", ".htpasswd", ".npmrc", ".pypirc",
    ".git-credentials", ".dockercfg", ".vault-token", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.tfstate",
    "*.tfstate.*", "kubeconfig", "*.kubeconfig", "credentials.json", "service-account*.json",
    "service_account*.json", "secrets.yaml", "secrets.yml", "secrets.json", "secrets.toml",
)  # fmt: skip
"""Patterns of the names of files in which secrets are kept."""

EXAMPLES = ("example", "sample", "template", ".dist", ".pub")
"""How a name ends, but for `DATA`, that only shows what such a file looks like."""

DATA = re.compile(r"\.(?:json|toml|ya?ml)\Z")
"""How a name ends besides."""

CONTENTS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY",
    "a key of AWS": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a secret key of AWS": rb"(?i:secret_?access_?key)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+]{40}\b",
    "a token of GitHub": rb"\b(?:gh[opusr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})",
    "a token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20}",
    "a token of Slack": rb"\bxox[abeoprs]-[A-Za-z0-9-]{10}",
    "a token of npm": rb"\bnpm_[A-Za-z0-9]{36}\b",
    "a token of PyPI": rb"\bpypi-AgE[A-Za-z0-9_-]{50}",
    "a key of Google": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "a key of Stripe": rb"\b[rs]k_live_[0-9A-Za-z]{20}",
    "a key of Anthropic": rb"\bsk-ant-[A-Za-z0-9_-]{20}",
    "a key of OpenAI": rb"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20}|[A-Za-z0-9]{32})",
    "a JSON Web Token": rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16}",
    "a token of rtevents": rb"\brte_[A-Za-z0-9_-]{20}",
}
"""What a secret looks like, by what it is."""

PLACEHOLDER = re.compile(
    rb"(?i)example|placeholder|redacted|change[_-]?me|dummy|your[_-]|[_-](?:your|here)\b|1234567890"
    rb"|([^-])\1{5}|eyJzdWIiOiIxMjM0NTY3ODkw"
)
"""What is in a secret of documentation: a word, a run of one character, the sample of jwt.io."""

KEPT = rb"(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|secret|auth|encryption)[_-]?key)"
"""How a name ends that is given a secret."""

GIVEN = {
    "a password in a URL": rb"://[^\s/:@\"'`<>]{0,100}:([^\s/@\"'`<>]{6,200})@[\w\[]",
    # Between the name and the value there may be a quote, a bracket, a type.
    "a password or a key": rb"(?i)" + KEPT + rb"[\"']?\]?(?:: ?[\w.\[\]| ]{1,40})?\s{0,9}"
    rb"(?:=>|:=|=|:)\s{0,9}[bru]?[\"']([^\s\"'`]{8,200})[\"']",
    "a password or a key of the environment": KEPT.upper() + rb"=([^\s\"'`;,]{8,200})[ \t]*\r?$",
}  # fmt: skip
"""Where something is given a secret, or what stands for one, which is told by the value alone."""

SETTING = rb"(?i)" + KEPT + rb"[\"']?[ \t]*[:=][ \t]*([^\s\"'`;,]{8,200})[ \t]*\r?$"
"""The same in a file of settings, where values need no quotes."""

SETTINGS = (".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".properties")
"""How the names of such files end."""

STANDS_FOR_ANOTHER = re.compile(
    r"[$%{]\{|\$\(|\$\w+\Z|%\w*[%()]|%[sd]\b|[{<\[(].*[}>\])]|\.\.\.|\A(?:/|\.{1,2}/|https?:)|\A[\d.:-]+\Z"
    r"|(.)\1{3}"
)
"""A variable, a call, a place, a number: not the secret itself."""

WORDS = (
    "change", "default", "demo", "dummy", "example", "fake", "here", "insert", "passphrase",
    "password", "placeholder", "redacted", "replace", "sample", "secret", "test", "todo", "token",
    "xxx", "your", "12345", "abc123", "deadbeef",
)  # fmt: skip
"""What is in a value that only shows where a secret goes, in small letters."""

_REST = re.compile(rb"[A-Za-z0-9_.+/=-]{0,200}")
_CONTENTS = {what: re.compile(pattern) for what, pattern in CONTENTS.items()}
_GIVEN = {what: re.compile(pattern, re.MULTILINE) for what, pattern in GIVEN.items()}
_SETTING = re.compile(SETTING, re.MULTILINE)


def looks_secret(path: str, content: bytes) -> str | None:
    """Return why a file looks like a secret; None when it does not."""
    name = path.rpartition("/")[2].lower()
    if not _is_example(name) and any(fnmatch.fnmatch(name, each) for each in NAMES):
        return "its name"
    for what, pattern in _CONTENTS.items():
        if any(_is_real(content, found) for found in pattern.finditer(content)):
            return what
    settings = {"a password or a key of a setting": _SETTING} if name.endswith(SETTINGS) else {}
    for what, pattern in (_GIVEN | settings).items():
        if any(_is_given(found[1].decode("latin-1")) for found in pattern.finditer(content)):
            return what
    return None


def _is_example(name: str) -> bool:
    return DATA.sub("", name).endswith(EXAMPLES)


def _is_real(content: bytes, found: re.Match[bytes]) -> bool:
    """Tell whether what has the form of a secret is more than a sample of that form."""
    rest = _REST.match(content, found.end())
    return PLACEHOLDER.search(found[0] + (rest[0] if rest else b"")) is None


def _is_given(value: str) -> bool:
    """Tell whether a value is a secret, and not the name of one or what stands in its place."""
    if STANDS_FOR_ANOTHER.search(value):
        return False
    if any(word in value.lower() for word in WORDS):
        return False
    # A name has letters alone, and what parts its words.
    return bool(re.search(r"[A-Za-z]", value) and re.search(r"[^A-Za-z_.:/ -]", value))
