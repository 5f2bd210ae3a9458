"""Config: every setting, where files are, and how both are read."""

from rtevents.config.load import load
from rtevents.config.paths import Paths, Target, find_paths, find_target
from rtevents.config.render import default_yaml, to_yaml
from rtevents.config.settings import (
    Config,
    FilesSettings,
    GitSettings,
    ProjectSettings,
    RetentionSettings,
    TypeSettings,
    parse_listen,
)

__all__ = [
    "Config",
    "FilesSettings",
    "GitSettings",
    "Paths",
    "ProjectSettings",
    "RetentionSettings",
    "Target",
    "TypeSettings",
    "default_yaml",
    "find_paths",
    "find_target",
    "load",
    "parse_listen",
    "to_yaml",
]
