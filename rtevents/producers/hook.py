"""The git hook: tells the daemon of a commit the moment it is made."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec

from rtevents.errors import BadInput, NotAllowed

NAME = "post-commit"
BEGIN = "# >>> rtevents >>>"
END = "# <<< rtevents <<<"
CHAINED = "post-commit.rtevents-chained"
SHEBANG = "#!/bin/sh"

BLOCK = """\
{begin}
# Notes the commit and tells the daemon in the background; a commit never waits or fails for it.
# RTEVENTS=0 switches it off. `rtevents hook uninstall` takes it out.
if [ "${{RTEVENTS:-1}}" != 0 ]; then (
  dir=${{GIT_DIR:-.git}} sha=
  # Read by hand where that is sure: to ask git takes longer than all the rest.
  if [ -f "$dir/HEAD" ] && [ ! -f "$dir/commondir" ] && read -r head < "$dir/HEAD"; then
    case $head in
      "ref: "*) [ -f "$dir/${{head#ref: }}" ] && read -r sha < "$dir/${{head#ref: }}" ;;
      *) sha=$head ;;
    esac
    case $sha in *[!0-9a-f]*) sha= ;; esac
  fi
  if [ "${{#sha}}" -lt 40 ]; then
    dir=$(git rev-parse --git-common-dir) && sha=$(git rev-parse HEAD) || exit 0
  fi
  [ -d "$dir/rtevents" ] || mkdir -p "$dir/rtevents" || exit 0
  echo "$sha" >> "$dir/rtevents/spool" || exit 0
  rte={program}
  [ -x "$rte" ] || rte=$(command -v rtevents) || exit 0
  unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE GIT_PREFIX GIT_COMMON_DIR GIT_OBJECT_DIRECTORY
  "$rte" publish commit "$sha" --quiet &
) </dev/null >/dev/null 2>&1 || :; fi
{end}
"""

CHAIN = """\
{shebang}
other="$(dirname "$0")/{chained}"
if [ -x "$other" ]; then "$other" "$@"; fi
code=$?
{block}exit $code
"""
"""Runs a hook that no block can be put into, and ends as it does."""


_NOTHING = ("", SHEBANG)
"""What is left, but for white space, of a hook in which nothing but the block was."""


class HookStatus(msgspec.Struct, frozen=True):
    """
    What hook is there.

    Args:
        file: Where the hook is, or would be.
        is_installed: Whether it tells the daemon.
        has_other: Whether another program's hook is there as well.
        problem: Why it cannot be installed, or will not run; None when all is well.
    """

    file: Path
    is_installed: bool
    has_other: bool
    problem: str | None = None

    def describe(self) -> str:
        """Return the status in one line."""
        there = "installed" if self.is_installed else "not installed"
        beside = ", beside another hook" if self.has_other and self.is_installed else ""
        problem = f"; {self.problem}" if self.problem else ""
        return f"{there}{beside}: {self.file}{problem}"


def status(repository: Path) -> HookStatus:
    """
    Tell what hook is there.

    Raises:
        BadInput: It is no repository.
    """
    file, problem = _find(repository)
    text = _read(file) or ""
    rest = _without_block(text)
    ours = rest != text
    other = file.with_name(CHAINED).exists() if _chains(rest) else rest.strip() not in _NOTHING
    if ours and not os.access(file, os.X_OK):
        problem = "it is not executable, so git does not run it"
    return HookStatus(file, ours, other, problem)


def install(repository: Path, *, force: bool = False) -> HookStatus:
    """
    Put the hook beside whatever is there; doing it twice changes nothing more.

    Args:
        force: Also into a folder of hooks that is not the repository's own.
    Raises:
        BadInput: It is no repository.
        NotAllowed: The hooks are outside the repository: they are other repositories' too. Or
            they cannot be written.
    """
    file, problem = _find(repository)
    if problem and not force:
        raise NotAllowed(f"{problem}; --force installs it all the same")
    try:
        _put(file)
    except OSError as error:
        raise NotAllowed(f"{file} cannot be written: {error.strerror}") from error
    return status(repository)


def _put(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = _read(file)
    if text is None and not file.is_symlink():
        _write(file, f"{SHEBANG}\n{_block()}", 0o755)
    elif text is not None and _without_block(text) != text:
        _write(file, _without_block(text, _block()), _mode(file))
    elif text is not None and _takes_block(file, text):
        first, _, rest = text.partition("\n")
        _write(file, f"{first}\n{_block()}{rest}", _mode(file))
    else:
        chained = file.with_name(CHAINED)
        if os.path.lexists(chained):
            raise NotAllowed(f"{chained} is in the way: an earlier hook was put aside there")
        file.rename(chained)
        _write(file, CHAIN.format(shebang=SHEBANG, chained=CHAINED, block=_block()), 0o755)


def uninstall(repository: Path) -> HookStatus:
    """
    Take the hook out: what was there before is there again, to the byte.

    Raises:
        BadInput: It is no repository.
        NotAllowed: The hooks cannot be written.
    """
    file, _ = _find(repository)
    try:
        _take_out(file)
    except OSError as error:
        raise NotAllowed(f"{file} cannot be written: {error.strerror}") from error
    return status(repository)


def _take_out(file: Path) -> None:
    text = _read(file) or ""
    rest = _without_block(text)
    chained = file.with_name(CHAINED)
    if rest == text:
        return
    # Only what calls it may give way to it: another program may have written its own hook since.
    if _chains(rest) and os.path.lexists(chained):
        chained.replace(file)
    elif _chains(rest) or rest == f"{SHEBANG}\n":
        file.unlink()
    else:
        _write(file, rest, _mode(file))


def _find(repository: Path) -> tuple[Path, str | None]:
    """Return where git looks for the hook, and why it should not be put there."""
    common = Path(_git(repository, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    is_bare = _git(repository, "rev-parse", "--is-bare-repository") == "true"
    # A relative core.hooksPath is relative to the work tree's top.
    top = common if is_bare else Path(_git(repository, "rev-parse", "--show-toplevel"))
    folder = top / _git(top, "rev-parse", "--git-path", "hooks")
    within = folder.resolve()
    if not any(within.is_relative_to(owner.resolve()) for owner in (common, top)):
        return folder / NAME, f"hooks are outside this repository ({folder}, by core.hooksPath)"
    return folder / NAME, None


def _git(repository: Path, *arguments: str) -> str:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")} | {
        name: value
        for name, value in os.environ.items()
        if name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES")
    }
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=repository,
            env=environment | {"LC_ALL": "C"},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BadInput(f"git cannot be run in {repository}: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        is_none = said.startswith("fatal: not a git repository")
        raise BadInput(f"{repository}: {'not in a git repository' if is_none else said}")
    return os.fsdecode(done.stdout.rstrip(b"\n"))


def _block() -> str:
    program = shutil.which("rtevents", path=str(Path(sys.executable).parent)) or "rtevents"
    return BLOCK.format(begin=BEGIN, end=END, program=shlex.quote(program))


def _chains(rest: str) -> bool:
    """Tell whether a hook, without the block, is ours and does no more than call another."""
    return f'/{CHAINED}"\n' in rest


def _without_block(text: str, instead: str = "") -> str:
    begin = text.find(BEGIN)
    end = text.find(END, begin)
    if begin < 0 or end < 0:
        return text
    return text[:begin] + instead + text[end + len(END) + 1 :]


def _takes_block(file: Path, text: str) -> bool:
    """Tell whether a block can be put into a hook and taken out again with nothing else changed."""
    first, _, rest = text.partition("\n")
    # One that is switched off stays so, and what a link points to is not ours to write.
    return _is_shell(first) and bool(rest) and os.access(file, os.X_OK) and not file.is_symlink()


def _is_shell(first: str) -> bool:
    """Tell whether a block of sh can be put behind this first line."""
    if not first.startswith("#!"):
        return False
    words = [word for word in first.removeprefix("#!").split() if not word.startswith("-")]
    names = [Path(word).name for word in words]
    if names[:1] == ["env"]:
        del names[0]
    return names[:1] in (["sh"], ["bash"], ["dash"], ["ksh"], ["zsh"])


def _read(file: Path) -> str | None:
    try:
        # Bytes of whatever encoding come back as they were.
        return file.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(file: Path, text: str, mode: int) -> None:
    temporary = file.with_name(f".{file.name}.rtevents")
    temporary.write_bytes(text.encode(errors="surrogateescape"))
    temporary.chmod(mode)
    temporary.replace(file)


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)
