"""Reading the configuration: YAML, then the environment; errors name file, line and key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rtevents.config.logs import wrong_logs, wrong_store
from rtevents.config.own import read_own
from rtevents.config.paths import Paths
from rtevents.config.risks import RULE_NAME
from rtevents.config.settings import (
    LOOPBACK,
    NODE,
    Config,
    parse_listen,
    parse_origin,
)
from rtevents.errors import ConfigError

MAX_CONFIG_BYTES = 256 * 1024
"""Largest configuration file, in bytes: more is a mistake or an attack (S17)."""


class Loaded(msgspec.Struct, frozen=True):
    """
    A configuration as it was read.

    Args:
        config: The settings in force.
        warnings: What has no effect, in words.
        file: The file, whether or not it is there.
        lines: The line of each key of the file by its path, as ``$.files.settle_ms``.
        environ: The variables that come before the file.
    """

    config: Config
    warnings: list[str]
    file: Path
    lines: Mapping[str, int]
    environ: Mapping[str, str]

    def where(self, key: str) -> str:
        """Return where a setting is set, and the setting: ``FILE:LINE: projects[0].id``."""
        return _where(key, self.file, self.lines, self.environ)


def load(paths: Paths, environ: Mapping[str, str] = os.environ, *, named: bool = False) -> Config:
    """
    Read the configuration; see ``read``.

    Raises:
        ConfigError: A setting cannot be used; the text names the file, the line and the key.
    """
    return read(paths, environ, named=named).config


def read(paths: Paths, environ: Mapping[str, str] = os.environ, *, named: bool = False) -> Loaded:
    """
    Read the configuration: defaults, then the file, then ``RTEVENTS_*`` variables.

    ``RTEVENTS_LISTEN`` sets ``listen``, ``RTEVENTS_RETENTION__MAX_AGE`` sets ``retention.max_age``.

    Args:
        named: Whether the user named the file, so that its absence is a mistake.

    Raises:
        ConfigError: A setting cannot be used; the text names the file, the line and the key.
    """
    document, lines = read_document(paths, environ, named=named)
    return load_document(document, lines, paths, environ)


def read_document(
    paths: Paths, environ: Mapping[str, str], *, named: bool = False
) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Return what the file and the variables say, and the line of each key, as ``parse_yaml``.

    Raises:
        ConfigError: One of them cannot be read.
    """
    text = _read(paths.config, is_named=named or bool(environ.get("RTEVENTS_CONFIG")))
    document, lines = parse_yaml(text, str(paths.config))
    _overlay(document, environ)
    return document, lines


def load_document(
    document: Mapping[str, Any], lines: Mapping[str, int], paths: Paths, environ: Mapping[str, str]
) -> Loaded:
    """
    Return the configuration of what ``read_document`` returned.

    Raises:
        ConfigError: As ``read``.
    """
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise explain(error, Config, paths.config, lines, environ) from error
    loaded = Loaded(config, _without_effect(environ), paths.config, lines, environ)
    _check(loaded)
    return loaded


def _check(loaded: Loaded) -> None:
    """Check what the structs cannot say."""
    config = loaded.config
    _check_listen(loaded)
    try:
        config.origins = [parse_origin(origin) for origin in config.origins]
    except ConfigError as error:
        text = str(error).removeprefix("origins: ")
        raise ConfigError(f"{loaded.where('origins')}: {text}", field="origins") from error
    if words := wrong_store(config.store):
        raise ConfigError(f"{loaded.where('store')}: {words}", field="store")
    if wrong := _wrong_node(config.node) or wrong_logs(config.logs):
        raise ConfigError(f"{loaded.where(wrong[0])}: {wrong[1]}", field=wrong[0])
    if config.heartbeat_interval >= config.cleanup_timeout:
        # Heartbeats are what keeps an idle connection from being cleaned up.
        key, wanted = "heartbeat_interval", "less than cleanup_timeout"
        if config.heartbeat_interval == Config().heartbeat_interval:
            key, wanted = "cleanup_timeout", "more than heartbeat_interval"
        raise ConfigError(f"{loaded.where(key)}: expected {wanted}", field=key)


def _wrong_node(name: str) -> tuple[str, str] | None:
    if re.match(NODE, name):
        return None
    return "node", f"expected at most 64 of A-Z a-z 0-9 . _ -, got {name[:80]!r}"


def _check_listen(loaded: Loaded) -> None:
    config = loaded.config
    try:
        address = parse_listen(config.listen)
    except ConfigError as error:
        text = str(error).removeprefix("listen: ")
        raise ConfigError(f"{loaded.where('listen')}: {text}", field="listen") from error
    if bool(config.tls.cert) != bool(config.tls.key):
        key = "tls.key" if config.tls.cert else "tls.cert"
        raise ConfigError(
            f"{loaded.where('tls')}: expected cert and key, {key} is missing", field=key
        )
    if address and address[0] not in LOOPBACK and not config.tls.cert:
        raise ConfigError(
            f"{loaded.where('listen')}: {address[0]!r} is not a loopback address: beyond this "
            "machine set tls as well, or expected 127.0.0.1 or [::1]",
            field="listen",
        )


def _read(file: Path, *, is_named: bool) -> str:
    try:
        raw = read_own(file, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        if is_named:
            raise ConfigError(f"{file}: no such file") from None
        return ""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}") from error


def parse_yaml(text: str, file: str) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Return the document, and the line of each key by its path, as ``$.files.settle_ms``.

    Raises:
        ConfigError: It is not YAML, or plays tricks (S17); the text names the file and the line.
    """
    # Imported here: no command but those of the configuration and the daemon reads YAML.
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        lines = dict(_lines(node, "$", file, set())) if node else {}
        document = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file}{line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{file}: {str(error).partition(chr(10))[0]}") from error
    except (LookupError, AttributeError, ArithmeticError, TypeError) as error:
        # PyYAML takes a tag at its word: `!!bool x` is a KeyError, `!!timestamp x` has no groups.
        raise ConfigError(f"{file}: a value is not what its tag says: {error}") from error
    if document is None:
        return {}, {}
    if not isinstance(document, dict):
        raise ConfigError(f"{file}:1: expected settings as `name: value`")
    return document, lines


def _lines(node: Any, place: str, file: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the line of each key and item; refuse aliases and keys that come twice (S17)."""
    if id(node) in seen:
        raise ConfigError(f"{file}:{node.start_mark.line + 1}: aliases are not allowed here")
    seen.add(id(node))
    if node.id == "scalar":
        _refuse_unspeakable(node, file)
    if node.id == "sequence":
        for index, item in enumerate(node.value):
            yield f"{place}[{index}]", item.start_mark.line + 1
            yield from _lines(item, f"{place}[{index}]", file, seen)
    if node.id == "mapping":
        names: set[str] = set()
        for key, value in node.value:
            if key.id == "scalar":
                _refuse_unspeakable(key, file)
                if key.style is None and key.tag in _NO_NAMES:
                    key.tag = "tag:yaml.org,2002:str"
            name, line = str(key.value), key.start_mark.line + 1
            if name in names:
                raise ConfigError(f"{file}:{line}: {name} is set twice", field=name)
            names.add(name)
            yield f"{place}.{name}", line
            yield from _lines(value, f"{place}.{name}", file, seen)


_NO_NAMES = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "null", "timestamp")
)
"""What YAML 1.1 takes some names for, as a bare `on` or `no`: a key is what is written."""


def _refuse_unspeakable(node: Any, file: str) -> None:
    place = f"{file}:{node.start_mark.line + 1}"
    if "\0" in node.value:
        # No path may hold one: whatever takes it for a path would fail as by a bug.
        raise ConfigError(f"{place}: a null character is in no setting")
    if any("\ud800" <= each <= "\udfff" for each in node.value):
        # Nor may an answer: whatever tells it would fail.
        raise ConfigError(f"{place}: half of a character is in no setting")


_PARTS: dict[str, type[msgspec.Struct]] = {
    field.name: field.type
    for field in msgspec.structs.fields(Config)
    if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
}

SECTIONS = tuple(_PARTS)
"""Settings that hold settings: each of those has a variable of its own."""

LISTS = ("event_types", "issuers", "logs", "projects", "sinks")
"""Settings that no variable sets: they belong into a file."""


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put the environment's settings over those of the file."""
    names = [field.name for field in msgspec.structs.fields(Config) if field.name not in LISTS]
    for variable in sorted(environ):
        name, _, inner = variable.removeprefix("RTEVENTS_").lower().partition("__")
        if not variable.startswith("RTEVENTS_") or name not in names:
            continue
        if (name in SECTIONS) != bool(inner):
            raise ConfigError(f"{variable}: no such setting")
        value = _value(variable, environ[variable])
        if inner:
            section = document.get(name)
            document[name] = {**(section if isinstance(section, dict) else {}), inner: value}
        else:
            document[name] = value


OTHERS = (
    "RTEVENTS_CONFIG",
    "RTEVENTS_PROGRESS_FD",
    "RTEVENTS_TASK_ID",
    "RTEVENTS_TOKEN",
    "RTEVENTS_URL",
)
"""Variables that are no settings of the daemon."""


def _without_effect(environ: Mapping[str, str]) -> list[str]:
    """Return what is to be said of each variable that looks like a setting and is none."""
    warnings = []
    for variable in sorted(environ):
        name = variable.removeprefix("RTEVENTS_").lower()
        if not variable.startswith("RTEVENTS_") or variable in OTHERS:
            continue
        if name in LISTS:
            warnings.append(f"{variable} has no effect: {name} belong into the file")
        elif name.partition("__")[0] not in Config.__struct_fields__:
            near = _nearest(name, [*Config.__struct_fields__, "config", "token", "url"])
            hint = f", did you mean RTEVENTS_{near.upper()}?" if near else ""
            warnings.append(f"{variable} has no effect: there is no such setting{hint}")
    return warnings


def _value(variable: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # A URL may have a password in it.
        given = "" if "://" in text else f": {text[:60]!r}"
        raise ConfigError(f"{variable}: not a value{given}") from error


def explain(
    error: msgspec.ValidationError,
    struct: type[msgspec.Struct],
    file: Path,
    lines: Mapping[str, int],
    environ: Mapping[str, str],
) -> ConfigError:
    """
    Return the error with the variable, or file and line, and the key in front.

    Args:
        struct: What the whole document should be.
    """
    # Loaded by who has made a mistake alone.
    from rtevents.config.shape import choices_at, names_at

    text, _, place = str(error).partition(" - at `")
    place = place.rstrip("`") or "$"
    if choices := "nvalid enum value" in text and choices_at(struct, place):
        got = text.partition("enum value ")[2]
        text = f"expected {', '.join(choices[:-1])} or {choices[-1]}, got {got}"
    if repr(RULE_NAME) in text:
        text = "expected a letter and up to 47 of A-Z a-z 0-9 _ -"
    if named := re.search(r"(?:unknown|missing required) field `(.+)`", text):
        here = names_at(struct, place)
        place = f"{place}.{named[1]}"
        text = "unknown setting" if "unknown" in text else "missing setting"
        if text == "unknown setting" and (near := _nearest(named[1], here)):
            text += f", did you mean {near}?"
    text = (text[:1].lower() + text[1:]).replace("`", "").replace(" | null", "")
    # The words of JSON are not those of YAML.
    text = text.replace("object", "a mapping").replace("array", "a list, as [a, b]", 1)
    key = place.removeprefix("$.")
    return ConfigError(f"{_where(key, file, lines, environ)}: {text}", field=key)


def _where(key: str, file: Path, lines: Mapping[str, int], environ: Mapping[str, str]) -> str:
    """Return the variable, or the file and line, that sets a key, and the key."""
    if (variable := "RTEVENTS_" + key.upper().replace(".", "__")) in environ:
        return f"{variable}: {key}"
    line = lines.get(f"$.{key}") or lines.get(f"$.{key}".rpartition(".")[0])
    return f"{file}:{line}: {key}" if line else f"{file}: {key}"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, known, n=1)), None)
