"""The daemon's own files and folders: S6 and S17."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.faults.checker import risk


def test_whatever_the_umask_nobody_else_can_use_a_file(stopped_daemon: Daemon) -> None:
    """S6: under umask 0, everything that the daemon and its commands make is the user's alone."""
    daemon = stopped_daemon
    open_to_all = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    daemon.start("--quiet", str(daemon.repository()), through=open_to_all)
    with daemon.client() as client:
        client.publish(risk("one"))
        client.create_token("viewer")
        client.add_type("DEPLOY")
        client.ticket()
    daemon.run("backup", str(daemon.home / "state" / "rtevents" / "copy.db"))

    found = [*(daemon.home / "state").rglob("*"), *(daemon.home / "run").rglob("*")]
    assert daemon.socket in found
    assert len(found) > 10
    assert [file for file in found if stat.S_IMODE(file.lstat().st_mode) & 0o077] == []


@pytest.mark.parametrize("which", ["run", "state"])
@pytest.mark.parametrize("harm", ["mode", "owner", "link"])
def test_a_folder_that_is_not_the_users_own_is_refused(
    stopped_daemon: Daemon, which: str, harm: str
) -> None:
    """S6: the daemon does not start in it, and one line says why."""
    daemon = stopped_daemon
    folder = daemon.home / which / "rtevents"
    if harm == "link":
        elsewhere = daemon.home / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir(mode=0o700)
    if harm == "mode":
        folder.chmod(0o770)
    if harm == "owner":
        if os.getuid():
            pytest.skip("only root can give a folder away")
        os.chown(folder, 65534, 65534)

    done = daemon.run("serve", "--no-project")

    assert done.returncode == 2
    assert done.stderr.startswith(f"rtevents: {folder}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["tokens.json", "types.json", "sessions.json", "projects.json"])
def test_a_link_in_the_place_of_a_state_file_leads_nowhere(
    stopped_daemon: Daemon, name: str
) -> None:
    """S6: what is kept is put in the place of a link, and never written through it."""
    daemon = stopped_daemon
    victim = daemon.home / "victim"
    victim.write_text("[]" if name == "projects.json" else "{}")
    before = victim.read_bytes()
    folder = daemon.home / "state" / "rtevents"
    folder.mkdir(mode=0o700)
    if name == "tokens.json":
        victim.write_text(before.decode())
    (folder / name).symlink_to(victim)

    daemon.start("--no-project", "--quiet")
    daemon.run("project", "add", str(daemon.repository()))
    with daemon.client() as client:
        client.create_token("viewer")
        client.add_type("DEPLOY")
        client.ticket()
    assert daemon.stop() == 0

    assert victim.read_bytes() == before


def test_a_link_in_the_place_of_a_lock_is_refused(stopped_daemon: Daemon) -> None:
    """S6: nothing is written through it."""
    daemon = stopped_daemon
    victim = daemon.home / "victim"
    victim.write_text("mine\n")
    daemon.socket.parent.mkdir(mode=0o700)
    (daemon.socket.parent / "rtevents.lock").symlink_to(victim)

    done = daemon.run("serve", "--no-project")

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "rtevents.lock" in done.stderr
    assert victim.read_text() == "mine\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [touch canary]\n",
        "a: !!python/name:os.system\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "on: 1\n",
        "store: no\n",
        "{" * 10_000,
        "? " * 10_000,
        "x" * 300_000,
    ],
    ids=["apply", "name", "laughs", "on", "no", "deep", "deeper", "long"],
)
def test_a_hostile_configuration_is_refused_in_a_line(
    stopped_daemon: Daemon, tmp_path: Path, text: str
) -> None:
    """S17: nothing of it runs, it takes no time, and the place is told."""
    file = tmp_path / "config.yaml"
    file.write_text(text)

    done = stopped_daemon.run("serve", "--no-project", "--config", str(file))

    assert done.returncode == 2
    assert done.stderr.startswith(f"rtevents: {file}")
    assert done.stderr.count("\n") == 1
    assert not (stopped_daemon.home / "canary").exists()
