"""Event types that are not built in: the producers', and the user's own."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, NoReturn

from rtevents.config.settings import Config, TypeSettings
from rtevents.core.keep import load, save
from rtevents.core.names import type_name
from rtevents.core.payloads import Checker, EventTypes
from rtevents.errors import BadInput, EventRefused, StoreError, Taken
from rtevents.producers import DECLARED

logger = logging.getLogger(__name__)


class OwnTypes:
    """
    The event types that producers declare, those of the configuration and those that were added.

    Args:
        config: Names those that are always there.
        file: Where those that were added while running are kept.
    Raises:
        BadInput: A schema is no JSON Schema, or the configuration names a producer's type.
    """

    def __init__(self, config: Config, file: Path) -> None:
        self._file = file
        self._added = kept_types(file)
        self.schemas: dict[str, dict[str, Any] | None] = {}
        self.types = EventTypes()
        self.reload(config)

    def reload(self, config: Config) -> None:
        """
        Know what another configuration names, and no more what only the last one named.

        Raises:
            BadInput: As above; nothing has changed then.
        """
        schemas: dict[str, dict[str, Any] | None] = {**DECLARED}
        for name, schema in self._added.items():
            if schemas.setdefault(name, schema) != schema:
                logger.warning("%s is a producer's type by now: yours is not used", name)
        for given in config.event_types:
            settings = given if isinstance(given, TypeSettings) else TypeSettings(name=given)
            if (name := type_name(settings.name)) in DECLARED:
                raise BadInput(f"event_types: {name} is a producer's type: choose another name")
            schemas[name] = settings.schema
        self.types.replace({name: compile_schema(own) for name, own in schemas.items()})
        # The same dictionary: it was given away.
        self.schemas.clear()
        self.schemas.update(schemas)

    async def add(self, name: str, schema: dict[str, Any] | None) -> None:
        """
        Add a type from now on; adding the same one again changes nothing.

        Raises:
            BadInput: The schema is no JSON Schema.
            EventRefused: The name cannot be a type's, or is a built-in one's.
            Taken: The type is there already, with another schema.
            StoreError: It cannot be kept.
        """
        name = type_name(name)
        if name in self.schemas:
            if self.schemas[name] != schema:
                raise Taken(f"{name} is a type already, with another schema")
            return
        check = compile_schema(schema)
        added = self._added | {name: schema}
        self.types.add(name, check)
        try:
            save(self._file, added)
        except StoreError:
            self.types.replace({name: compile_schema(own) for name, own in self.schemas.items()})
            raise
        self._added = added
        self.schemas[name] = schema


def kept_types(file: Path) -> dict[str, dict[str, Any] | None]:
    """Return the types that were added while a daemon ran, each with its schema."""
    return load(file, dict[str, dict[str, Any] | None], {})


def compile_schema(schema: dict[str, Any] | None) -> Checker | None:
    """
    Return a checker for a JSON Schema; None for none.

    Raises:
        BadInput: It is no JSON Schema.
    """
    if schema is None:
        return None
    # Imported here: most users have no types of their own.
    import fastjsonschema

    handlers = dict.fromkeys(("http", "https", "ftp", "file"), _refuse_to_fetch)
    try:
        validate = fastjsonschema.compile(schema, handlers=handlers, use_default=False)
    except _NO_SCHEMA as error:
        raise BadInput(f"not a JSON Schema: {error}", field="schema") from error

    def check(data: dict[str, Any]) -> None:
        try:
            validate(data)
        except fastjsonschema.JsonSchemaValueException as error:
            raise EventRefused(str(error), field=error.name) from error

    return check


_NO_SCHEMA = (AttributeError, KeyError, RecursionError, TypeError, ValueError, re.error)
"""What fastjsonschema raises: its own errors, which are ValueErrors, and what it stumbles over."""


def _refuse_to_fetch(uri: str) -> NoReturn:
    """Keep the daemon from fetching what a schema points to: it is somebody else's word (S17)."""
    raise ValueError(f"$ref to another document: {uri[:80]}")
