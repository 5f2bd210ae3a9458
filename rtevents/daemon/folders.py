"""The folders of projects: where one is, and what its own in the state directory is called."""

from __future__ import annotations

import hashlib
import os.path
from pathlib import Path

from rtevents.errors import BadInput

MAX_FOLDER_NAME = 255
"""Longest name of a folder, in bytes, on the file systems that there are."""


def folder_name(project_id: str) -> str:
    """Return the name of a project's folder in the state directory."""
    # An id may hold any printable character, a folder's name may not, nor be as long.
    name = project_id.encode().hex()
    if len(name) > MAX_FOLDER_NAME:
        name = hashlib.blake2b(project_id.encode(), digest_size=32).hexdigest()
    return name


def root_of(path: Path) -> Path:
    """
    Return the folder of a project that is to be watched.

    Raises:
        BadInput: It is not there, no folder, or all that there is.
    """
    try:
        root = path.resolve(strict=True)
    except OSError as error:
        raise BadInput(f"path: {path}: {error.strerror}", field="path") from error
    except RuntimeError as error:  # what Python before 3.13 raises
        raise BadInput(f"path: {path}: a loop of links", field="path") from error
    if not root.is_dir():
        raise BadInput(f"path: {path}: not a folder", field="path")
    if root == root.parent:
        raise BadInput(f"path: {root} is all that there is: name a folder in it", field="path")
    return root


def known_root_of(path: Path) -> Path:
    """
    Return the folder of a project that is known: it need not be there, a disk may come back.

    Raises:
        BadInput: It can never be one.
    """
    try:
        return root_of(path)
    except BadInput:
        root = Path(os.path.realpath(path))
        if not path.is_absolute() or root == root.parent:
            raise
        return root
