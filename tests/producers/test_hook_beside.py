"""The hook beside what programs that manage hooks write, also after their next time: F29."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from rtevents.errors import NotAllowed
from rtevents.producers import hook
from rtevents.producers.hook.block import block
from tests.producers.conftest import commit, git
from tests.producers.hooks import (
    _no_daemon,
    file_of,
    install,
    listing,
    listing_of,
    put,
    repository,
    spool,
)

__all__ = ["_no_daemon", "repository"]

HUSKY = '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n'
"""What husky 9 writes to `.husky/_/post-commit`; its `h` runs `.husky/post-commit`."""

HUSKY_H = """\
#!/usr/bin/env sh
[ "$HUSKY" = "2" ] && set -x
n=$(basename "$0")
s=$(dirname "$(dirname "$0")")/$n

[ ! -f "$s" ] && exit 0

if [ -f "$HOME/.huskyrc" ]; then
\techo "husky - '~/.huskyrc' is DEPRECATED, please move your code to ~/.config/husky/init.sh"
fi
i="${XDG_CONFIG_HOME:-$HOME/.config}/husky/init.sh"
[ -f "$i" ] && . "$i"

[ "${HUSKY-}" = "0" ] && exit 0

export PATH="node_modules/.bin:$PATH"
sh -e "$s" "$@"
c=$?

[ $c != 0 ] && echo "husky - $n script failed (code $c)"
[ $c = 127 ] && echo "husky - command not found in PATH=$PATH"
exit $c
"""


@pytest.fixture
def husky(repository: Path) -> Path:
    """Return the script that husky 9 runs after a commit, which is not there."""
    git(repository, "config", "core.hooksPath", ".husky/_")
    put(repository / ".husky" / "_" / "h", HUSKY_H, 0o644)
    put(repository / ".husky" / "_" / "post-commit", HUSKY)
    return repository / ".husky" / "post-commit"


@pytest.mark.parametrize(
    "text",
    ["echo husky >> ran", "#!/bin/sh\necho husky >> ran\nexit 0\n", "#!/bin/sh\n", "#!/bin/sh", ""],
)
def test_husky_runs_the_hook_in_the_users_script_also_when_it_is_installed_anew(
    repository: Path, husky: Path, text: str
) -> None:
    put(husky, text, 0o644)
    before = listing(husky.parent / "_"), listing_of(husky)

    done = install(repository)
    # husky writes its files anew whenever packages are installed.
    put(repository / ".husky" / "_" / "post-commit", HUSKY)
    sha = commit(repository)

    assert (done.file, done.run_by, done.problems) == (husky, "husky", [])
    assert done.describe().endswith(f"run by husky: {husky}")
    assert hook.status(repository) == msgspec.structs.replace(done, notes=1)
    assert spool(repository) == [sha]
    assert (repository / "ran").exists() == ("ran" in text)
    once = listing_of(husky)
    assert install(repository).is_installed
    assert listing_of(husky) == once
    assert not hook.uninstall(repository).is_installed
    assert (listing(husky.parent / "_"), listing_of(husky)) == before


def test_husky_without_a_script_has_none_afterwards(repository: Path, husky: Path) -> None:
    assert install(repository).describe() == f"installed, run by husky: {husky}"
    sha = commit(repository)
    assert spool(repository) == [sha]

    hook.uninstall(repository)

    assert not husky.exists()
    assert commit(repository) not in spool(repository)


def test_what_was_put_into_huskys_own_hook_is_told_and_moves(repository: Path, husky: Path) -> None:
    own = husky.parent / "_" / "post-commit"
    put(own, HUSKY.replace("\n", f"\n{block()}", 1))

    assert [problem.remedy for problem in hook.status(repository).problems] == [
        "rtevents hook install"
    ]

    assert install(repository).problems == []
    assert own.read_text() == HUSKY
    commit(repository)
    assert len(spool(repository)) == 1


def test_husky_that_is_not_installed_yet_is_told(repository: Path, husky: Path) -> None:
    shutil.rmtree(husky.parent / "_")

    assert [problem.remedy for problem in install(repository).problems] == ["npx husky"]


def test_a_script_of_husky_that_is_a_link_is_not_written_through(
    repository: Path, husky: Path
) -> None:
    husky.symlink_to("elsewhere")

    with pytest.raises(NotAllowed, match="is a link"):
        install(repository)


def test_a_link_that_a_repository_brought_is_not_written_through(
    repository: Path, husky: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "profile"
    theirs.write_text("precious")
    (husky.parent / ".post-commit.rtevents").symlink_to(theirs)

    install(repository)

    assert theirs.read_text() == "precious"
    assert "rtevents" in husky.read_text()


LEFTHOOK = """\
#!/bin/sh

if [ "$LEFTHOOK_VERBOSE" = "1" -o "$LEFTHOOK_VERBOSE" = "true" ]; then
  set -x
fi

if [ "$LEFTHOOK" = "0" ]; then
  exit 0
fi

call_lefthook()
{
  echo lefthook "$@" >> ran
}

call_lefthook run "post-commit" "$@"
"""
"""What lefthook writes; but for what it calls."""


def test_lefthook_and_the_hook_run_beside_one_another(repository: Path) -> None:
    put(file_of(repository), LEFTHOOK)

    done = install(repository)
    sha = commit(repository)

    assert (done.is_installed, done.beside) == (True, "lefthook")
    assert spool(repository) == [sha]
    assert (repository / "ran").read_text() == "lefthook run post-commit\n"


def test_a_hook_that_lefthook_put_aside_is_told(repository: Path) -> None:
    install(repository)
    file_of(repository).rename(file_of(repository).with_name("post-commit.old"))
    put(file_of(repository), LEFTHOOK)

    found = hook.status(repository)

    assert not found.is_installed
    assert found.problems == [
        hook.Problem("another program put it aside as post-commit.old", "rtevents hook install")
    ]
    assert install(repository).is_installed


PRE_COMMIT = """\
#!/usr/bin/env bash
# File generated by pre-commit: https://pre-commit.com
# ID: 138fd403232d2ddd5efb44317e38bf03
HERE="$(cd "$(dirname "$0")" && pwd)"
if [ -x "$HERE/post-commit.legacy" ]; then "$HERE/post-commit.legacy" "$@"; fi
echo pre-commit >> ran
"""
"""What pre-commit writes, with what its program does: it runs the hook that it put aside."""


def test_a_hook_that_pre_commit_put_aside_runs_from_there(repository: Path) -> None:
    install(repository)
    file_of(repository).rename(file_of(repository).with_name("post-commit.legacy"))
    put(file_of(repository), PRE_COMMIT)

    found = hook.status(repository)
    sha = commit(repository)

    assert (found.is_installed, found.problems, found.beside) == (True, [], "pre-commit")
    assert spool(repository) == [sha]
    assert (repository / "ran").read_text() == "pre-commit\n"


@pytest.mark.parametrize("name", ["post-commit.legacy", "post-commit.old"])
def test_a_hook_that_was_put_aside_is_taken_out_there(repository: Path, name: str) -> None:
    theirs = PRE_COMMIT if name.endswith("legacy") else LEFTHOOK
    install(repository)
    file_of(repository).rename(file_of(repository).with_name(name))
    put(file_of(repository), theirs)
    install(repository)

    assert not hook.uninstall(repository).is_installed

    assert not file_of(repository).with_name(name).exists()
    assert file_of(repository).read_text() == theirs


def test_a_hook_that_pre_commit_runs_is_not_put_into_its_own(repository: Path) -> None:
    install(repository)
    file_of(repository).rename(file_of(repository).with_name("post-commit.legacy"))
    put(file_of(repository), PRE_COMMIT)

    assert install(repository).is_installed

    assert file_of(repository).read_text() == PRE_COMMIT
    sha = commit(repository)
    assert spool(repository) == [sha]


@pytest.mark.parametrize("manager", ["husky", "lefthook", "pre-commit"])
def test_nothing_is_left_beside_a_manager(repository: Path, manager: str) -> None:
    put(file_of(repository), {"husky": HUSKY, "lefthook": LEFTHOOK}.get(manager, PRE_COMMIT))
    before = listing(file_of(repository).parent)
    install(repository)
    hook.uninstall(repository)

    assert listing(file_of(repository).parent) == before
