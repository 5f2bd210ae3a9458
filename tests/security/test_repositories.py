"""Repositories of strangers: S14, S15 and S16."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtevents.core.event import Entry
from rtevents.core.filter import Filter
from tests.conftest import Daemon, wait_for

NAMES = [
    "--output=canary",
    "-h",
    "--upload-pack=touch canary",
    "--exec=touch canary",
    "$(touch canary)",
    "`touch canary`",
    ";touch canary",
    "|touch canary",
    "&touch canary",
    "!touch canary",
    "ext::sh -c touch% canary",
    ":(exclude)canary",
    "HEAD",
    "%(refname)",
]
"""Names that mean something to git, to a shell, or to neither, but are only names."""


def messages(daemon: Daemon) -> list[str]:
    """Return the messages of the commits that were told."""
    with daemon.client() as client:
        entries = client.history(Filter(types=frozenset({"COMMIT"})), limit=1000).events
    data = [json.loads(entry.wire)["data"] for entry in entries if isinstance(entry, Entry)]
    return [str(each["message"]).strip() for each in data]


def canaries(daemon: Daemon) -> list[Path]:
    """Return every file that somebody else's words made."""
    return [file for file in daemon.home.rglob("canary*") if file.is_file()]


def in_refs(name: str) -> str:
    """Return a name as near to it as a ref's may be (`git check-ref-format`)."""
    return "".join(letter for letter in name if letter not in " :").replace("..", ".")


def test_no_name_of_a_repository_is_an_option_or_a_command(stopped_daemon: Daemon) -> None:
    """S14: folders, branches, tags, files, messages and authors; watched, and by each command."""
    daemon = stopped_daemon
    root = daemon.repository("$(touch canary) --output=canary")
    daemon.start("--quiet", str(root))
    told = []
    for name in NAMES:
        (root / name).write_text(name)
        daemon.git("add", "--", f"./{name}", cwd=root)
        author = f"{name.replace('<', '')} <{name}@x>"
        daemon.git("commit", "-qm", name, f"--author={author}", cwd=root)
        daemon.git("update-ref", f"refs/heads/{in_refs(name)}", "HEAD", cwd=root)
        daemon.git("update-ref", f"refs/tags/{in_refs(name)}", "HEAD", cwd=root)
        told.append(name)
    wait_for(lambda: set(told) <= set(messages(daemon)), "every commit is told")
    for name in NAMES:
        for command in (
            ["publish", "commit", "--", name],
            ["publish", "commit", f"--rev={name}"],
            ["watch", "explain", "--", name],
            ["history", f"--path={name}"],
            ["history", f"--project={name}"],
        ):
            assert "Traceback" not in daemon.run(*command, cwd=root).stderr
    assert daemon.run("hook", "install", cwd=root).returncode == 0
    daemon.git("commit", "--allow-empty", "-qm", "$(touch canary) by hook", cwd=root)
    assert daemon.run("hook", "status", cwd=root).returncode == 0
    assert daemon.run("doctor", cwd=root).returncode == 0
    wait_for(lambda: "$(touch canary) by hook" in messages(daemon), "the hook's one is told")
    assert daemon.run("hook", "uninstall", cwd=root).returncode == 0

    assert canaries(daemon) == []


ODD = "a\n$(touch canary)\n--output=canary\r\x1b[2J"
"""A name of several lines, each of which would do something by itself."""


def test_a_newline_in_a_name_or_a_message_begins_nothing(stopped_daemon: Daemon) -> None:
    """S14: file names and commit messages of several lines come as they are, and are one event."""
    daemon = stopped_daemon
    root = daemon.repository("web")
    daemon.start("--quiet", str(root))
    (root / ODD).write_text("x")
    daemon.git("add", "--", f"./{ODD}", cwd=root)
    daemon.git("commit", "-qm", f"Subject\n\n{ODD}\n\nCo-authored-by: x\n", cwd=root)
    wait_for(lambda: len(messages(daemon)) == 1, "the commit is told")
    wait_for(lambda: ODD in file_paths(daemon), "the file is told")
    for command in (
        ["watch", "explain", "--", ODD],
        ["history", f"--path={ODD}"],
        ["history", "-o", "pretty"],
        ["tail", "-T", "--since", "all"],
    ):
        done = daemon.run(*command, cwd=root)
        assert "Traceback" not in done.stderr
        assert "\x1b[2J" not in done.stdout + done.stderr

    assert ODD in messages(daemon)[0]
    assert len([path for path in file_paths(daemon) if path.startswith("a\n")]) == 1
    assert canaries(daemon) == []


def file_paths(daemon: Daemon) -> list[str]:
    """Return the paths of the changes that were told."""
    with daemon.client() as client:
        entries = client.history(Filter(types=frozenset({"FILE_CHANGE"})), limit=1000).events
    data = [json.loads(entry.wire)["data"] for entry in entries if isinstance(entry, Entry)]
    return [str(each["file_path"]) for each in data]


AWS = "AKIA" + "ABCDEFGHIJKLMNOP"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "PASSWORD=hunter2\n"),
        ("keys/id_rsa", "-----BEGIN OPENSSH PRIVATE " + "KEY-----\n"),
        ("settings.py", f"KEY = '{AWS}'\n"),
    ],
)
def test_no_secret_is_committed_by_itself(stopped_daemon: Daemon, name: str, text: str) -> None:
    """S16: not the secret, and nothing else with it; the error says why, and not what it is."""
    daemon = stopped_daemon
    root = saved_by_itself(daemon)
    before = daemon.git("rev-parse", "HEAD", cwd=root)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)
    (root / "harmless.txt").write_text("x\n")
    wait_for(lambda: told_of(daemon, "AUTO_COMMIT_ERROR"), "it is refused")

    [error, *_] = told_of(daemon, "AUTO_COMMIT_ERROR")
    assert f"{name} looks like a secret (" in str(error["error"])
    assert text.strip() not in json.dumps(error)
    assert daemon.git("rev-parse", "HEAD", cwd=root) == before
    assert daemon.git("diff", "--cached", "--name-only", cwd=root) == ""


def test_what_a_link_leads_to_is_not_committed(stopped_daemon: Daemon) -> None:
    """S16: a link out of the project is a link: nothing of the file or the folder behind it."""
    daemon = stopped_daemon
    outside = daemon.home / "outside"
    outside.mkdir()
    (outside / "id_rsa").write_text("a secret of mine\n")
    root = saved_by_itself(daemon)
    (root / "file").symlink_to(outside / "id_rsa")
    (root / "folder").symlink_to(outside)
    wait_for(lambda: told_of(daemon, "AUTO_COMMIT_RESULT"), "it is saved")
    (outside / "id_rsa").write_text("another secret of mine\n")
    (root / "harmless.txt").write_text("x\n")
    wait_for(lambda: "harmless.txt" in daemon.git("ls-files", cwd=root), "it is saved as well")

    files = daemon.git("ls-files", cwd=root).splitlines()
    assert files == ["README.md", "file", "folder", "harmless.txt"]
    for name in ("file", "folder"):
        assert daemon.git("ls-tree", "HEAD", name, cwd=root).startswith("120000 ")
    assert daemon.git("log", "-p", "-S", "secret of mine", "--format=%H", cwd=root) == ""
    assert not [path for path in file_paths(daemon) if "id_rsa" in path]


def saved_by_itself(daemon: Daemon) -> Path:
    """Start a daemon that commits what changes in a repository a moment later."""
    root = daemon.repository("web")
    folder = daemon.home / "config" / "rtevents"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "auto_commit: {quiet: 0.1, max_wait: 1}\n"
        f"projects: [{{path: {root}, id: web, auto_commit: true}}]\n"
    )
    daemon.start()
    return root


def told_of(daemon: Daemon, kind: str) -> list[dict[str, object]]:
    """Return the data of each event of a type."""
    with daemon.client() as client:
        entries = client.history(Filter(types=frozenset({kind})), limit=1000).events
    return [json.loads(entry.wire)["data"] for entry in entries if isinstance(entry, Entry)]


@pytest.mark.parametrize("is_bare", [False, True], ids=["with a work tree", "bare"])
def test_nothing_that_a_repository_brings_along_runs(daemon: Daemon, *, is_bare: bool) -> None:
    """S15: a configuration full of programs, watched and looked at by each command."""
    source = daemon.repository("source")
    (source / ".gitattributes").write_text("* diff=evil filter=evil merge=evil\n")
    daemon.git("add", ".", cwd=source)
    daemon.git("commit", "-qm", "Attributes", cwd=source)
    root = daemon.home / "clone"
    daemon.git("clone", "-q", *(["--bare"] if is_bare else []), str(source), str(root), cwd=source)
    script = daemon.home / "script"
    script.write_text(
        "#!/bin/sh\n"
        # Who ran it, for the message of a test that fails.
        f"{{ echo $0 $*; tr '\\0' ' ' < /proc/$PPID/cmdline; }} >> {daemon.home}/canary\n"
        "cat 2>/dev/null\n"
    )
    script.chmod(0o755)
    hooks = daemon.home / "hooks"
    hooks.mkdir()
    for name in ("post-commit", "pre-commit", "reference-transaction", "post-index-change"):
        (hooks / name).symlink_to(script)
    for key in (
        "core.fsmonitor", "core.pager", "core.sshCommand", "core.gitProxy", "core.editor",
        "core.askPass", "core.alternateRefsCommand", "credential.helper", "diff.external",
        "diff.evil.command", "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge",
        "filter.evil.process", "merge.evil.driver", "gpg.program", "gpg.ssh.program", "pager.log",
        "pager.show", "interactive.diffFilter", "sequence.editor", "uploadpack.packObjectsHook",
    ):  # fmt: skip
        daemon.git("config", key, str(script), cwd=root)
    for key in ("log", "show", "rev-list", "rev-parse", "for-each-ref", "status", "worktree"):
        daemon.git("config", f"alias.{key}", f"!{script}", cwd=root)
    daemon.git("config", "log.showSignature", "true", cwd=root)
    daemon.git("config", "remote.origin.url", f"ext::{script}", cwd=root)
    daemon.git("config", "protocol.ext.allow", "always", cwd=root)
    # Ours would run it as well.
    tip = daemon.git("rev-parse", "HEAD", cwd=source)
    daemon.git("config", "core.hooksPath", str(hooks), cwd=root)
    (daemon.home / "canary").unlink(missing_ok=True)

    assert daemon.run("project", "add", str(root)).returncode == 0
    folder = root if is_bare else root / ".git"
    new = daemon.git("commit-tree", "-m", "New", "-p", tip, f"{tip}^{{tree}}", cwd=source)
    for file in (source / ".git" / "objects" / new[:2]).iterdir():
        (folder / "objects" / new[:2]).mkdir(exist_ok=True)
        (folder / "objects" / new[:2] / file.name).write_bytes(file.read_bytes())
    (folder / "refs" / "heads" / "main").write_text(f"{new}\n")
    wait_for(lambda: "New" in messages(daemon), "the commit is told")
    if not is_bare:
        (root / "file.txt").write_text("x\n")
    for command in (
        ["publish", "commit"], ["hook", "status"], ["watch", "explain", "file.txt"], ["doctor"],
        ["project", "list"], ["status"], ["project", "remove", "clone"],
    ):  # fmt: skip
        assert "Traceback" not in daemon.run(*command, cwd=root).stderr

    canary = daemon.home / "canary"
    assert not canary.exists(), canary.read_text()
