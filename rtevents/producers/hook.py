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
    text = _read(file)
    ours = text is not None and BEGIN in text
    chained = file.with_name(CHAINED).exists()
    others = text is not None and _without_block(text).strip() not in ("", SHEBANG)
    if ours and not os.access(file, os.X_OK):
        problem = "it is not executable, so git does not run it"
    return HookStatus(file, ours, chained or others, problem)


def install(repository: Path, *, force: bool = False) -> HookStatus:
    """
    Put the hook beside whatever is there; doing it twice changes nothing more.

    Args:
        force: Also into a folder of hooks that is not the repository's own.
    Raises:
        BadInput: It is no repository.
        NotAllowed: The hooks are outside the repository: they are other repositories' too.
    """
    file, problem = _find(repository)
    if problem and not force:
        raise NotAllowed(f"{problem}; --force installs it all the same")
    file.parent.mkdir(parents=True, exist_ok=True)
    text = _read(file)
    if text is None:
        _write(file, f"{SHEBANG}\n{_block()}", 0o755)
    elif BEGIN in text:
        _write(file, _without_block(text, _block()), _mode(file))
    elif _is_shell(text):
        first, newline, rest = text.partition("\n")
        _write(file, f"{first}{newline or chr(10)}{_block()}{rest}", _mode(file) | 0o111)
    else:
        chained = file.with_name(CHAINED)
        file.rename(chained)
        script = f'{SHEBANG}\n"$(dirname "$0")/{CHAINED}" "$@"; code=$?\n{_block()}exit $code\n'
        _write(file, script, 0o755)
    return status(repository)


def uninstall(repository: Path) -> HookStatus:
    """
    Take the hook out: what was there before is there again, to the byte.

    Raises:
        BadInput: It is no repository.
    """
    file, _ = _find(repository)
    text = _read(file)
    chained = file.with_name(CHAINED)
    if text is not None and BEGIN in text:
        if chained.exists():
            chained.replace(file)
        elif (rest := _without_block(text)) == f"{SHEBANG}\n":
            file.unlink()
        else:
            _write(file, rest, _mode(file))
    return status(repository)


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
        if name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM")
    }
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=repository,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except OSError as error:
        raise BadInput(f"git cannot be run in {repository}: {error.strerror}") from error
    if done.returncode:
        raise BadInput(f"{repository}: not in a git repository")
    return os.fsdecode(done.stdout.rstrip(b"\n"))


def _block() -> str:
    program = shutil.which("rtevents", path=str(Path(sys.executable).parent)) or "rtevents"
    return BLOCK.format(begin=BEGIN, end=END, program=shlex.quote(program))


def _without_block(text: str, instead: str = "") -> str:
    begin = text.find(BEGIN)
    end = text.find(END, begin)
    if begin < 0 or end < 0:
        return text
    return text[:begin] + instead + text[end + len(END) + 1 :]


def _is_shell(text: str) -> bool:
    """Tell whether a block of sh can be put behind the first line."""
    words = text.partition("\n")[0].removeprefix("#!").split()
    name = Path(words[-1]).name if words and text.startswith("#!") else ""
    return name in ("sh", "bash", "dash", "ksh", "zsh", "-e")


def _read(file: Path) -> str | None:
    try:
        # Bytes of whatever encoding come back as they were.
        return file.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return None


def _write(file: Path, text: str, mode: int) -> None:
    temporary = file.with_name(f".{file.name}.rtevents")
    temporary.write_bytes(text.encode(errors="surrogateescape"))
    temporary.chmod(mode)
    temporary.replace(file)


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)
