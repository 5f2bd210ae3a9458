"""Writing the configuration: the defaults with their meaning, and what is in force."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

import msgspec

from rtevents.config.settings import Config

_PASSWORD = re.compile(r"(?<=://).*@")
"""Who asks a store, and the password, in its URL."""

_FURTHER = " " * 8
"""What a further line about a setting begins with, where the first begins with half of it."""

HEAD = """\
# Every setting of rtevents, with its default. What is left out has its default.
# Where the file is: --config, $RTEVENTS_CONFIG, or $XDG_CONFIG_HOME/rtevents/config.yaml.
# A variable comes before the file: RTEVENTS_LISTEN=none, RTEVENTS_RETENTION__MAX_AGE=86400.
"""

EXAMPLES = {
    "issuers": [
        "issuers:",
        "  - {issuer: https://id.example, audience: rtevents, keys: /etc/rtevents/jwks.json}",
    ],
    "logs": [
        "logs:",
        "  - {name: web, store: 'redis://10.0.0.2:6379/0?log=web', projects: [web, 'web-*']}",
    ],
    "event_types": [
        "event_types: [DEPLOY, {name: RELEASE, schema: {required: [version]}}]",
    ],
    "risks": [
        "risks:",
        "  rules:",
        "    - name: deploy-fails",
        "      type: DEPLOY",
        '      where: data.status == "failed"',
        "      count: 2",
        "      within: 3600",
        "      per: data.service",
        '      until: data.status == "ok"',
        '      message: "{data.service} failed {count} times"',
    ],
    "projects": [
        "projects:",
        "  - {path: ~/src/web, id: web, files: true, git: true, tasks: [TODO.md], ignore: [dist/]}",
        "  - {path: ~/notes, auto_commit: true}",
    ],
    "sinks": [
        "sinks:",
        "  - {name: tests, type: COMMIT, command: {run: [make, test], cwd: ~/src/web}}",
        "  - name: chat",
        '    where: data.severity >= "high"',
        "    webhook: {url: https://chat.example/hook, secret_file: ~/.chat.secret}",
        "  - {name: journal, file: {path: ~/rtevents.ndjson}}",
    ],
}
"""What the settings that are empty by default may hold."""


def default_yaml() -> str:
    """Return every setting with its default, unit and meaning, as YAML."""
    lines = [HEAD]
    meanings = _meanings(Config)
    for field in msgspec.structs.fields(Config):
        value = getattr(Config(), field.name)
        lines += _comment(meanings[field.name], "")
        if isinstance(value, msgspec.Struct):
            lines.append(f"{field.name}:")
            inner = _meanings(type(value))
            for name, default in msgspec.structs.asdict(value).items():
                lines += _comment(inner[name], "  ")
                lines.append(f"  {name}: {_scalar(default)}")
        else:
            lines.append(f"{field.name}: {_scalar(value)}")
        lines += [f"# {line}" for line in EXAMPLES.get(field.name, [])]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def to_yaml(config: Config) -> str:
    """Return the settings in force, as YAML; the password of the store is left out."""
    import yaml

    settings = msgspec.to_builtins(config) | {"store": _PASSWORD.sub("***@", config.store)}
    return str(yaml.safe_dump(settings, sort_keys=False, allow_unicode=False))


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, 96 - len(indent))]


def _meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what each setting means, from its struct's docstring."""
    meanings: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(struct.__doc__ or "").partition("Args:\n")[2].splitlines():
        text = line.strip()
        if line.startswith(_FURTHER):
            meanings[name] += f" {text}"
        else:
            name, _, meaning = text.partition(": ")
            meanings[name] = meaning
    return meanings
