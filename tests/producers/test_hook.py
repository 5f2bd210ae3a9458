"""The hook in real repositories: beside any other, gone without a trace, never in the way."""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from rtevents.errors import BadInput, NotAllowed
from rtevents.producers import hook
from rtevents.producers.hook import config
from rtevents.producers.hook.block import BEGIN, END, MOST, block
from rtevents.producers.hook.file import CHAINED
from rtevents.producers.spool import Spool
from tests.conftest import wait_for
from tests.producers.conftest import commit, git

logger = logging.getLogger(__name__)

SHELL = "#!/bin/sh\necho sh >> ran\n"
STRICT = "#!/usr/bin/env bash\nset -euo pipefail\necho bash >> ran\nfalse\necho never >> ran\n"
PYTHON = (
    f"#!{sys.executable}\nimport pathlib, sys\n"
    "pathlib.Path('ran').write_text(f'{sys.argv[0]} {sys.argv[1:]}')\nsys.exit(7)\n"
)


def file_of(repository: Path) -> Path:
    """Return where git looks for the hook."""
    return repository / ".git" / "hooks" / "post-commit"


def install(repository: Path, *, force: bool = False) -> hook.HookStatus:
    """Install the hook as a file, also where git runs hooks of the configuration."""
    return hook.install(repository, way="file", force=force)


def put(file: Path, text: str, mode: int = 0o755) -> None:
    """Write a hook."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(errors="surrogateescape"))
    file.chmod(mode)


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every entry of a folder with its mode and its bytes, or where it points to."""
    return {
        path.name: (
            path.lstat().st_mode,
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.iterdir()
    }


def listing_of(file: Path) -> tuple[int, bytes]:
    """Return a file's mode and its bytes."""
    return file.stat().st_mode, file.read_bytes()


def spool(repository: Path) -> list[str]:
    """Return what the hook noted."""
    file = repository / ".git" / "rtevents" / "spool"
    return file.read_text().split() if file.exists() else []


@pytest.fixture(autouse=True)
def _no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no daemon of this machine be told of these commits."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def repository(repository: Path) -> Path:
    """Return a repository with one commit, that a daemon watches."""
    Spool(repository / ".git").mark()
    return repository


def test_a_repository_without_a_hook_gets_one(repository: Path) -> None:
    assert not hook.status(repository).is_installed

    done = install(repository)

    assert done == hook.HookStatus(
        file_of(repository), is_installed=True, has_other=False, ways=["file"], is_watched=True
    )
    assert done.describe() == f"installed: {file_of(repository)}"
    assert file_of(repository).stat().st_mode & 0o777 == 0o755
    sha = commit(repository)
    assert spool(repository) == [sha]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (SHELL, 0o755),
        (SHELL, 0o700),
        (SHELL, 0o644),
        (STRICT, 0o755),
        (PYTHON, 0o755),
        ("#!/bin/sh\n", 0o755),
        ("#!/bin/sh", 0o755),
        ("#! /bin/sh -e\nexit 3\n", 0o755),
        ("#!/usr/bin/env -S bash -e\ntrue", 0o755),
        ("#!/usr/bin/perl -e\nexit 0;\n", 0o755),
        ("echo no first line\n", 0o755),
        ("", 0o755),
        ("#!/bin/sh\r\necho \udcff\r\n", 0o755),
        ("\x7fELF\0\0", 0o755),
    ],
)
def test_uninstalling_restores_to_the_byte(repository: Path, text: str, mode: int) -> None:
    put(file_of(repository), text, mode)
    before = listing(file_of(repository).parent)

    for _ in range(2):
        done = install(repository)
        assert (done.is_installed, done.has_other, done.problems) == (True, True, [])
    for _ in range(2):
        assert not hook.uninstall(repository).is_installed

    assert listing(file_of(repository).parent) == before


def test_uninstalling_leaves_nothing_where_nothing_was(repository: Path) -> None:
    before = listing(file_of(repository).parent)
    install(repository)

    assert not hook.uninstall(repository).is_installed
    assert listing(file_of(repository).parent) == before


def test_uninstalling_leaves_no_notes_where_nobody_watches(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/no/such/rtevents")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    install(repository)
    Spool(repository / ".git").clear()
    commit(repository)
    assert len(spool(repository)) == 1

    hook.uninstall(repository)

    assert not (repository / ".git" / "rtevents").exists()


def test_installing_twice_changes_nothing_more(repository: Path) -> None:
    put(file_of(repository), SHELL)
    install(repository)
    once = listing(file_of(repository).parent)

    install(repository)

    assert listing(file_of(repository).parent) == once


def test_an_older_block_is_replaced(repository: Path) -> None:
    put(file_of(repository), f"#!/bin/sh\n{BEGIN}\nexit 9\n{END}\necho after >> ran\n")

    install(repository)

    assert "exit 9" not in file_of(repository).read_text()
    sha = commit(repository)
    assert (repository / "ran").read_text() == "after\n"
    assert spool(repository) == [sha]


@pytest.mark.parametrize(("text", "said"), [(SHELL, "sh\n"), (STRICT, "bash\n")])
def test_a_shell_hook_runs_beside_it(repository: Path, text: str, said: str) -> None:
    put(file_of(repository), text)
    done = install(repository)
    assert done.describe().startswith("installed, beside another hook: ")

    sha = commit(repository)

    assert (repository / "ran").read_text() == said
    assert spool(repository) == [sha]


def test_a_hook_of_another_language_keeps_its_arguments_and_exit_code(repository: Path) -> None:
    put(file_of(repository), PYTHON)
    install(repository)

    done = subprocess.run([file_of(repository), "one", "two three"], cwd=repository, check=False)

    assert done.returncode == 7
    said = (repository / "ran").read_text()
    assert said == f"{file_of(repository).with_name(CHAINED)} ['one', 'two three']"
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_a_hook_that_was_switched_off_stays_off(repository: Path) -> None:
    put(file_of(repository), SHELL, 0o644)
    install(repository)

    sha = commit(repository)

    assert not (repository / "ran").exists()
    assert spool(repository) == [sha]


@pytest.mark.parametrize("target", ["../../scripts/hook", "../../gone"])
def test_a_linked_hook_is_not_written_through(repository: Path, target: str) -> None:
    put(repository / "scripts" / "hook", SHELL)
    file_of(repository).symlink_to(target)
    before = listing(file_of(repository).parent)
    install(repository)

    sha = commit(repository)
    hook.uninstall(repository)

    assert spool(repository) == [sha]
    assert (repository / "ran").exists() == (target != "../../gone")
    assert (repository / "scripts" / "hook").read_text() == SHELL
    assert listing(file_of(repository).parent) == before


def test_a_hook_that_was_put_aside_is_never_overwritten(repository: Path) -> None:
    put(file_of(repository), PYTHON)
    install(repository)
    put(file_of(repository), PYTHON.replace("7", "8"))
    before = listing(file_of(repository).parent)

    with pytest.raises(NotAllowed, match="is in the way"):
        install(repository)

    assert listing(file_of(repository).parent) == before


def test_a_hook_that_git_will_not_run_is_told(repository: Path) -> None:
    install(repository)
    file_of(repository).chmod(0o644)

    assert hook.status(repository).problems == [
        hook.Problem(
            "it is not executable, so git does not run it", f"chmod +x {file_of(repository)}"
        )
    ]


def test_a_missing_folder_of_hooks_is_made(repository: Path) -> None:
    shutil.rmtree(file_of(repository).parent)

    install(repository)

    sha = commit(repository)
    assert spool(repository) == [sha]


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user whom permissions hold back, as root is not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_of_hooks_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = home / "web"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(home, "init", "-q", str(root))
    put(file_of(root), PYTHON)
    file_of(root).parent.chmod(0o555)
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)

    with nobody():
        before = listing(file_of(root).parent)
        with pytest.raises(NotAllowed, match="cannot be written: Permission denied"):
            install(root)
        assert listing(file_of(root).parent) == before

        file_of(root).parent.chmod(0o755)
        install(root)
        file_of(root).parent.chmod(0o555)
        before = listing(file_of(root).parent)
        with pytest.raises(NotAllowed, match="cannot be written: Permission denied"):
            hook.uninstall(root)
        assert listing(file_of(root).parent) == before


def test_hooks_that_are_switched_off_altogether_are_told(repository: Path) -> None:
    git(repository, "config", "core.hooksPath", "/dev/null")

    with pytest.raises(NotAllowed, match=r"outside this repository \(/dev/null"):
        install(repository)
    with pytest.raises(NotAllowed, match="/dev/null/post-commit cannot be written"):
        install(repository, force=True)
    assert not hook.status(repository).is_installed


def test_a_hooks_path_inside_the_repository_is_used(repository: Path) -> None:
    git(repository, "config", "core.hooksPath", ".githooks")
    (repository / "sub").mkdir()

    done = install(repository / "sub")

    assert done.file == repository / ".githooks" / "post-commit"
    sha = commit(repository)
    assert spool(repository) == [sha]


def test_a_hooks_path_outside_the_repository_needs_force(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "hooks"
    git(repository, "config", "core.hooksPath", str(outside))

    with pytest.raises(NotAllowed, match=r"outside this repository .*--force installs"):
        install(repository)
    assert not outside.exists()
    assert hook.status(repository).problems
    done = install(repository, force=True)

    assert done.file == outside / "post-commit"
    sha = commit(repository)
    assert spool(repository) == [sha]
    assert not hook.uninstall(repository).is_installed
    assert list(outside.iterdir()) == []


def test_a_linked_work_tree_has_the_hook_of_its_repository(
    repository: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))

    done = install(linked)

    assert done.file == file_of(repository)
    sha = commit(linked)
    assert spool(repository) == [sha]


def test_a_bare_repository_can_have_the_hook(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")

    done = install(tmp_path / "bare.git")

    assert done.file == tmp_path / "bare.git" / "hooks" / "post-commit"
    assert not hook.uninstall(tmp_path / "bare.git").is_installed


def test_a_git_that_fails_is_not_taken_for_no_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = repository.parent / "gitconfig"
    config.write_text("[core\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    with pytest.raises(BadInput, match="bad config line 1"):
        hook.status(repository)


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    for ask in (hook.status, install, hook.uninstall):
        with pytest.raises(BadInput, match="not in a git repository"):
            ask(tmp_path)


def test_rtevents_0_switches_it_off(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(repository)
    monkeypatch.setenv("RTEVENTS", "0")

    commit(repository)

    assert spool(repository) == []


@pytest.mark.parametrize("way", ["detached", "packed", "worktree-config", "sub-folder"])
def test_the_commit_is_noted_wherever_head_is(repository: Path, way: str) -> None:
    install(repository)
    cwd = repository
    match way:
        case "detached":
            git(repository, "switch", "-q", "--detach")
        case "packed":
            git(repository, "switch", "-qc", "feature/x y".replace(" ", "-"))
            git(repository, "pack-refs", "--all")
        case "worktree-config":
            git(repository, "config", "extensions.worktreeConfig", "true")
        case "sub-folder":
            cwd = repository / "sub"
            cwd.mkdir()

    sha = commit(cwd)

    assert spool(repository) == [sha]


def test_a_rebase_notes_every_commit(repository: Path) -> None:
    git(repository, "switch", "-qc", "topic")
    for number in range(3):
        commit(repository, str(number), "topic.txt")
    git(repository, "switch", "-q", "main")
    commit(repository)
    install(repository)

    git(repository, "rebase", "-q", "main", "topic")

    assert set(git(repository, "rev-list", "main..topic").split()) <= set(spool(repository))


def try_commit(
    repository: Path, *, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Make a commit; return how git ended and what it said."""
    return subprocess.run(
        ["git", "commit", "--allow-empty", "-qm", "Change"],
        cwd=repository,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_commit_succeeds_without_a_daemon(repository: Path) -> None:
    install(repository)

    done = try_commit(repository)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_a_commit_succeeds_without_rtevents(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "gone" / "rtevents"))
    install(repository)

    done = try_commit(repository, env={"PATH": "/usr/bin:/bin"})

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_a_commit_succeeds_when_nothing_can_be_noted(repository: Path) -> None:
    install(repository)
    shutil.rmtree(repository / ".git" / "rtevents")
    (repository / ".git" / "rtevents").write_text("in the way")

    done = try_commit(repository)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_daemon_is_told_in_the_background_without_gits_environment(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "it's here" / "rtevents"
    told = tmp_path / "told"
    put(program, f'#!/bin/sh\nsleep 0.3\nenv | grep -c ^GIT_DIR > {told}.tmp\n'
                 f'echo "$*" >> {told}.tmp\nmv {told}.tmp {told}\nexit 5\n')  # fmt: skip
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    install(repository)
    Spool(repository / ".git").unmark()

    done = try_commit(repository, env={"GIT_DIR": str(repository / ".git")})

    assert done.returncode == 0
    assert not told.exists()
    wait_for(told.exists, "the daemon is told")
    assert told.read_text() == f"0\nhook tell -C {repository / '.git'}\n"
    assert spool(repository) == [git(repository, "rev-parse", "HEAD")]


def test_who_reads_what_git_says_does_not_wait_for_what_is_told_in_the_background(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, told = tmp_path / "rtevents", tmp_path / "told"
    put(program, f"#!/bin/sh\ntouch {told}\n")
    # It goes on when it is told to; or else after so long that waiting for it is seen.
    put(
        tmp_path / "bin" / "sleep",
        f"#!/bin/sh\nPATH=/usr/bin:/bin\nleft=100\nwhile [ ! -e {tmp_path}/go ] && "
        "[ $left -gt 0 ]; do sleep 0.1; left=$((left - 1)); done\n",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    install(repository)
    Spool(repository / ".git").unmark()

    begun = time.monotonic()
    done = try_commit(repository)

    assert done.returncode == 0
    assert time.monotonic() - begun < 5
    (tmp_path / "go").touch()
    wait_for(told.exists, "the daemon is told")


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_code_of_the_hook_is_that_of_the_other(repository: Path, code: int) -> None:
    for text in (f"#!/bin/sh\nexit {code}\n", f"#!{sys.executable}\nraise SystemExit({code})\n"):
        put(file_of(repository), text)
        install(repository)

        done = subprocess.run([file_of(repository)], cwd=repository, check=False)

        assert done.returncode == code
        assert try_commit(repository).returncode == 0
        hook.uninstall(repository)


def test_what_a_commit_costs_with_the_hook(repository: Path) -> None:
    """Tell the median; ``--log-cli-level=info`` shows it."""
    install(repository)
    seconds: dict[str, list[float]] = {"0": [], "1": []}
    for _ in range(15):
        for switch, times in seconds.items():
            begun = time.perf_counter()
            assert try_commit(repository, env={"RTEVENTS": switch}).returncode == 0
            times.append(time.perf_counter() - begun)
    cost = statistics.median(
        with_hook - without for without, with_hook in zip(*seconds.values(), strict=True)
    )

    logger.info("the hook adds %.1f ms to a commit", cost * 1000)
    assert len(spool(repository)) == 15


def test_the_hook_of_a_linked_work_tree_notes_without_asking_git(
    repository: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))
    install(repository)
    sha = commit(linked)
    (repository / ".git" / "rtevents" / "spool").unlink()
    # As git runs it there; and there is no git to be asked.
    done = subprocess.run(
        ["/bin/sh", file_of(repository)],
        cwd=linked,
        env={"PATH": "/nowhere", "GIT_DIR": str(repository / ".git" / "worktrees" / "linked")},
        check=False,
    )

    assert done.returncode == 0
    assert spool(repository) == [sha]


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


@pytest.mark.parametrize(
    "more",
    [
        "",
        "[user]\n\tname = x",
        "# the end\n",
        "\n\n",
        '[hook "rtevents"]\n',
        '[hook "rtevents"]\n\tenabled = true\n',
        "[user]\r\n\tname = \udcff\r\n",
        "\ufeff",
    ],
)
def test_the_configuration_is_restored_to_the_byte(repository: Path, more: str) -> None:
    file = repository / ".git" / "config"
    text = file.read_text()
    text = f"{more}{text}" if more == "\ufeff" else f"{text}{more}"
    put(file, text, 0o600)
    before = (file.read_bytes(), file.stat().st_mode)

    for _ in range(2):
        config.put(file)
        assert config.is_there(file)
        told = git(repository, "config", "--get-all", "hook.rtevents.command")
        assert f"\n{told}\n" in f"\n{block()}"
        assert git(repository, "config", "--get-all", "hook.rtevents.event") == "post-commit"
    config.take_out(file)

    assert (file.read_bytes(), file.stat().st_mode) == before


def test_a_configuration_that_git_is_changing_is_left_alone(repository: Path) -> None:
    file = repository / ".git" / "config"
    before = file.read_bytes()
    file.with_name("config.lock").touch()

    with pytest.raises(NotAllowed, match=r"config\.lock is there: .* try again"):
        config.put(file)

    assert file.read_bytes() == before
    assert file.with_name("config.lock").exists()


@pytest.mark.parametrize("manager", ["husky", "lefthook", "pre-commit"])
def test_nothing_is_left_beside_a_manager(repository: Path, manager: str) -> None:
    put(file_of(repository), {"husky": HUSKY, "lefthook": LEFTHOOK}.get(manager, PRE_COMMIT))
    before = listing(file_of(repository).parent)
    install(repository)
    hook.uninstall(repository)

    assert listing(file_of(repository).parent) == before


def run_alone(repository: Path, sha: str) -> None:
    """Run the hook as after a commit of this hash, on a detached HEAD."""
    (repository / ".git" / "HEAD").write_text(f"{sha}\n")
    done = subprocess.run([file_of(repository)], cwd=repository, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("last", "0123456789abcdef")
def test_one_note_in_sixteen_is_told_as_well(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    program, told = tmp_path / "rtevents", tmp_path / "told"
    put(program, f'#!/bin/sh\necho "$3" > {told}.tmp && mv {told}.tmp {told}\n')
    # Without the pause, and the shell waits: what has not come by then does not come.
    put(tmp_path / "bin" / "sleep", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    install(repository)
    with file_of(repository).open("a") as opened:
        opened.write("wait\n")
    sha = 39 * "1" + last

    run_alone(repository, sha)

    assert spool(repository) == [sha]
    assert told.exists() == (last == "0")


def test_the_spool_of_a_daemon_that_never_comes_back_does_not_grow_for_ever(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "gone" / "rtevents"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    install(repository)
    notes = Spool(repository / ".git")
    long = "".join(f"{number:040x}\n" for number in range(MOST // 41 + 1))
    (repository / ".git" / "rtevents" / "spool").write_text(long)

    run_alone(repository, 39 * "1" + "0")

    wait_for(lambda: spool(repository) == [], "the long spool is put aside")
    assert len(notes.noted()) == len(long) // 41 + 1
    (repository / ".git" / "rtevents" / "spool").write_text(long)
    run_alone(repository, 39 * "2" + "0")
    wait_for(lambda: spool(repository) == [], "the next one takes its place")
    assert 39 * "2" + "0" in notes.take()
    assert len(notes.noted()) == len(long) // 41 + 1
