"""
The git hook: tells the daemon of a commit the moment it is made.

A line of the configuration where git runs such hooks: it leaves the files of other programs alone,
and runs wherever those are. Else a file beside whatever is there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from rtevents.errors import BadInput, NotAllowed
from rtevents.producers.ask import ask
from rtevents.producers.hook import config, file, husky
from rtevents.producers.hook.block import without_block
from rtevents.producers.spool import Spool

Way = Literal["config", "file"]

MANAGERS = {
    "lefthook": "lefthook",
    "husky": "husky",
    "pre-commit.com": "pre-commit",
    "pre_commit": "pre-commit",
}
"""Programs that write hooks, by what is found in theirs."""

LEGACY = "post-commit.legacy"
"""Where pre-commit puts a hook aside, and runs it from there."""

ASIDE = (LEGACY, "post-commit.old")
"""Where hooks are put aside; lefthook does not run them any more, and puts them back in the end."""


class Problem(msgspec.Struct, frozen=True):
    """
    Why a hook does not run, or not for long.

    Args:
        text: What is wrong.
        remedy: What to do about it.
    """

    text: str
    remedy: str


class HookStatus(msgspec.Struct, frozen=True):
    """
    What hook is there.

    Args:
        file: Where the hook is, or would be, as a file.
        is_installed: Whether it tells the daemon.
        has_other: Whether another program's hook is there as well.
        ways: How it is installed: `config`, `file`, or both, which is harmless.
        beside: Whose the other hook is.
        run_by: The program that runs it as a file; None where git itself does.
        problems: Why it will not run.
        is_watched: Whether a daemon watches the repository, or will when it runs again: the hook
            then only leaves a note.
        notes: Commits that wait for the daemon.
    """

    file: Path
    is_installed: bool
    has_other: bool
    ways: list[Way] = []
    beside: str | None = None
    run_by: str | None = None
    problems: list[Problem] = []
    is_watched: bool = False
    notes: int = 0

    @property
    def place(self) -> str:
        """Where it is, or would be."""
        configured = "the repository's configuration"
        if self.ways == ["config"]:
            return configured
        return f"{configured} and {self.file}" if "config" in self.ways else str(self.file)

    def describe(self) -> str:
        """Return the status in one line."""
        if not self.is_installed:
            return f"not installed: {self.place}"
        beside = f", beside {self.beside or 'another hook'}" if self.has_other else ""
        run_by = f", run by {self.run_by}" if self.run_by and "file" in self.ways else ""
        return f"installed{beside}{run_by}: {self.place}"


def status(repository: Path) -> HookStatus:
    """
    Tell what hook is there.

    Raises:
        BadInput: It is no repository.
    """
    place = _Place.of(repository)
    text = file.read(place.script or place.file) or ""
    aside = [name for name in ASIDE if _has_block(place.file.with_name(name))]
    rest = without_block(text)
    is_file = rest != text or place.runs_aside or place.is_in_huskys_own
    is_config = config.is_there(place.config)
    chained = file.read(place.file.with_name(file.CHAINED))
    other = (chained or "") if file.chains(rest) else rest
    ways: list[Way] = [*(["config"] if is_config else []), *(["file"] if is_file else [])]  # type: ignore[list-item]
    named = "husky" if place.script else None
    return HookStatus(
        place.script or place.file,
        is_installed=bool(ways),
        has_other=other.strip() not in file.NOTHING or (file.chains(rest) and chained is not None),
        ways=ways,
        beside=next((name for sign, name in MANAGERS.items() if sign in other), None),
        run_by=named,
        problems=_problems(place, ways, aside),
        is_watched=Spool(place.common).is_watched,
        notes=len(Spool(place.common).noted()),
    )


def _problems(place: _Place, ways: list[Way], aside: list[str]) -> list[Problem]:
    """Return what keeps the hook from running."""
    found = []
    if os.environ.get("RTEVENTS") == "0":
        found.append(Problem("RTEVENTS=0 switches it off in this shell", "unset RTEVENTS"))
    if "config" in ways and not config.is_known(place.root):
        known = ".".join(map(str, config.version(place.root)))
        found.append(
            Problem(
                f"git {known} does not run hooks of the configuration",
                "rtevents hook install --way file",
            )
        )
    if "config" in ways and not config.is_enabled(place.root):
        found.append(
            Problem(
                "hook.rtevents.enabled=false switches it off",
                "git config hook.rtevents.enabled true",
            )
        )
    if "file" in ways and place.script:
        found += _problems_with_husky(place)
    elif "file" in ways and not os.access(place.used, os.X_OK):
        found.append(
            Problem("it is not executable, so git does not run it", f"chmod +x {place.used}")
        )
    if not ways and place.is_outside:
        found.append(
            Problem(
                f"hooks are outside this repository ({place.file.parent}, by core.hooksPath)",
                "rtevents hook install --force, for all repositories whose hooks are there",
            )
        )
    if not ways and aside:
        found.append(
            Problem(f"another program put it aside as {aside[0]}", "rtevents hook install")
        )
    return found


def _problems_with_husky(place: _Place) -> list[Problem]:
    """Return what keeps husky from running the hook."""
    if place.is_in_huskys_own:
        text = f"husky writes {place.file} anew whenever packages are installed"
        return [Problem(text, "rtevents hook install")]
    if not os.access(place.file, os.X_OK):
        return [Problem(f"husky is not installed: {place.file} is not there", "npx husky")]
    return []


def spool(repository: Path) -> Spool:
    """
    Return what the hook noted.

    Raises:
        BadInput: It is no repository.
    """
    common = ask(repository, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return Spool(Path(common))


def install(repository: Path, *, way: Way | None = None, force: bool = False) -> HookStatus:
    """
    Put the hook beside whatever is there; doing it twice changes nothing more.

    Args:
        way: How; by default the configuration where git runs hooks of it, else a file.
        force: Also into a folder of hooks that is not the repository's own.
    Raises:
        BadInput: It is no repository, or git does not run hooks of the configuration.
        NotAllowed: The hooks are outside the repository: they are other repositories' too. Or
            they cannot be written.
    """
    place = _Place.of(repository)
    if way == "config" and not config.is_known(repository):
        known = ".".join(map(str, config.version(repository)))
        raise BadInput(f"git {known} does not run hooks of the configuration: --way file")
    way = way or ("config" if config.is_known(repository) else "file")
    if way == "file" and place.is_outside and not force:
        raise NotAllowed(
            f"hooks are outside this repository ({place.file.parent}, by core.hooksPath); "
            "--force installs it all the same"
        )
    target = place.used if way == "file" else place.config
    try:
        if way == "config":
            config.put(place.config)
            # What was put there for an older git would note every commit twice.
            if not place.is_outside:
                _take_out_files(place)
        else:
            if place.script:
                file.take_out(place.file)
                husky.put(place.script)
            else:
                file.put(place.used)
            config.take_out(place.config)
    except OSError as error:
        raise NotAllowed(f"{target} cannot be written: {error.strerror}") from error
    return status(repository)


def uninstall(repository: Path) -> HookStatus:
    """
    Take the hook out: what was there before is there again, to the byte.

    Raises:
        BadInput: It is no repository.
        NotAllowed: The hooks cannot be written.
    """
    place = _Place.of(repository)
    try:
        _take_out_files(place)
        config.take_out(place.config)
    except OSError as error:
        raise NotAllowed(f"{place.file} cannot be written: {error.strerror}") from error
    if not (notes := Spool(place.common)).is_watched:
        notes.clear()
    return status(repository)


class _Place(msgspec.Struct, frozen=True):
    """
    Where a repository's hooks are.

    Args:
        root: The folder that was named.
        common: The git common directory.
        file: Where git looks for the hook.
        is_outside: Whether that is in no folder of the repository's own.
    """

    root: Path
    common: Path
    file: Path
    is_outside: bool

    @property
    def runs_aside(self) -> bool:
        """Whether pre-commit's hook is there, which runs ours."""
        is_theirs = "File generated by pre-commit" in (file.read(self.file) or "")
        return is_theirs and _has_block(self.file.with_name(LEGACY))

    @property
    def script(self) -> Path | None:
        """The script that husky's hook runs; None where the hook is not husky's."""
        return husky.script_of(self.file)

    @property
    def is_in_huskys_own(self) -> bool:
        """Whether ours is in the file that husky writes anew."""
        return self.script is not None and _has_block(self.file)

    @property
    def used(self) -> Path:
        """The file that is ours, or will be."""
        if self.script is not None:
            return self.script
        return self.file.with_name(LEGACY) if self.runs_aside else self.file

    @property
    def config(self) -> Path:
        """The repository's own configuration, whichever of its work trees is asked."""
        return self.common / "config"

    @classmethod
    def of(cls, repository: Path) -> _Place:
        """Ask git where a repository's hooks are."""
        common = Path(ask(repository, "rev-parse", "--path-format=absolute", "--git-common-dir"))
        is_bare = ask(repository, "rev-parse", "--is-bare-repository") == "true"
        # A relative core.hooksPath is relative to the work tree's top.
        top = common if is_bare else Path(ask(repository, "rev-parse", "--show-toplevel"))
        folder = top / ask(top, "rev-parse", "--git-path", "hooks")
        within = folder.resolve()
        is_own = any(within.is_relative_to(owner.resolve()) for owner in (common, top))
        return cls(repository, common, folder / file.NAME, not is_own)


def _take_out_files(place: _Place) -> None:
    for name in (file.NAME, *ASIDE):
        file.take_out(place.file.with_name(name))
    if place.script is not None:
        husky.take_out(place.script)


def _has_block(hook: Path) -> bool:
    text = file.read(hook) or ""
    return without_block(text) != text
