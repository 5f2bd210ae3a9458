"""What of a configuration the daemon alone can judge: types and schemas, projects, logs, risks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from rtevents.config.load import Loaded
from rtevents.config.paths import expand, real
from rtevents.config.settings import Config, ProjectSettings, TypeSettings
from rtevents.core.names import is_project_id, type_name
from rtevents.core.payloads import EventTypes
from rtevents.daemon.access import load_issuers
from rtevents.daemon.check_logs import check_logs
from rtevents.daemon.check_sinks import check_sinks
from rtevents.daemon.process import loop_factory
from rtevents.daemon.types import compile_schema
from rtevents.errors import BadInput, ConfigError, EventRefused, FilterError
from rtevents.producers import DECLARED
from rtevents.producers.known import project_id_of
from rtevents.producers.risk.rules import build
from rtevents.producers.taskfiles import wrong_name
from rtevents.server.tls import Certificate


def check(loaded: Loaded, *, is_running: bool = False, added: Iterable[str] = ()) -> list[str]:
    """
    Check what would be refused, or left out, when the daemon starts.

    Args:
        is_running: Whether a daemon asks, which knows its event types better.
        added: The event types that were added while a daemon ran.
    Returns:
        What it could not watch as things are now, in words.
    Raises:
        ConfigError: A setting cannot be used; the text names the file, the line and the key.
    """
    _check_parts(loaded)
    check_logs(loaded)
    _check_types(loaded)
    _check_ids(loaded)
    _check_risks(loaded)
    unknown = check_sinks(loaded, added)
    return [
        f"{loaded.where(f'projects[{index}].path')}: {problem}"
        for index, project in enumerate(loaded.config.projects)
        if (problem := _problem(project))
    ] + ([] if is_running else unknown)


def _check_parts(loaded: Loaded) -> None:
    """Check what is made of single settings."""
    makes: dict[str, Callable[[Config], object]] = {
        "event_loop": lambda config: loop_factory(config.event_loop),
        "tls": open_certificate,
        "issuers": load_issuers,
    }
    for key, make in makes.items():
        try:
            make(loaded.config)
        except ConfigError as error:
            raise _wrong(loaded, key, str(error).removeprefix(f"{key}: ")) from error


def open_certificate(config: Config) -> Certificate | None:
    """
    Read the certificate for TCP; None where it is not encrypted.

    Raises:
        ConfigError: It cannot be used.
    """
    if not config.tls.cert:
        return None
    return Certificate(expand(config.tls.cert), expand(config.tls.key))


def _check_types(loaded: Loaded) -> None:
    known, names = EventTypes(), set[str]()
    for index, given in enumerate(loaded.config.event_types):
        key = f"event_types[{index}]"
        own = given if isinstance(given, TypeSettings) else TypeSettings(name=given)
        if (name := type_name(own.name)) in names:
            raise _wrong(loaded, key, f"{name} is there twice")
        if name in DECLARED:
            raise _wrong(loaded, key, f"{name} is a producer's type: choose another name")
        names.add(name)
        try:
            known.add(own.name, None)
            key += ".schema"
            compile_schema(own.schema)
        except (EventRefused, BadInput) as error:
            raise _wrong(loaded, key, str(error).removeprefix("type: ")) from error


def _check_ids(loaded: Loaded) -> None:
    taken: dict[str, int] = {}
    folders: dict[Path, int] = {}
    for index, project in enumerate(loaded.config.projects):
        if (other := folders.setdefault(real(project.path), index)) != index:
            text = f"{project.path} is projects[{other}] already"
            raise _wrong(loaded, f"projects[{index}].path", text)
        key = f"projects[{index}].id"
        name = project.id or project_id_of(expand(project.path))
        if not is_project_id(name):
            wanted = "1 to 48 printable characters without ':'"
            raise _wrong(loaded, key, f"expected {wanted}, got {name[:60]!r}")
        if name in taken:
            raise _wrong(loaded, key, f"{name!r} is taken by projects[{taken[name]}]")
        taken[name] = index
        if wrong := wrong_name(project.tasks):
            place, _, text = wrong.partition(": ")
            raise _wrong(loaded, f"projects[{index}].{place}", text)


def _check_risks(loaded: Loaded) -> None:
    try:
        build(loaded.config.risks)
    except FilterError as error:
        key = error.field or "risks"
        raise _wrong(loaded, key, str(error).removeprefix(f"{key}: ")) from error


def _problem(project: ProjectSettings) -> str | None:
    folder = expand(project.path)
    if not folder.is_absolute():
        return f"not from / or ~, so it depends on where the daemon is started: {project.path}"
    if not folder.exists():
        return f"not there, watched as soon as it is: {project.path}"
    if not folder.is_dir():
        return f"not a folder, watched as soon as it is: {project.path}"
    return None


def _wrong(loaded: Loaded, key: str, text: str) -> ConfigError:
    return ConfigError(f"{loaded.where(key)}: {text}", field=key)
