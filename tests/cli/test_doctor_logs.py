"""rtevents doctor, of each log: the way to its Redis, the rights there, and what is kept."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from rtevents.core.event import Event
from tests.cli.test_doctor import examined
from tests.conftest import Daemon, wait_for
from tests.daemon.test_parts import configure
from tests.redis import RedisServer, running


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that keeps what it answers."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of one's own, whose settings are weak."""
    with running(tmp_path / "redis", appendonly="no") as server:
        yield server


def test_each_log_is_looked_at_and_nothing_is_changed(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon, log = stopped_daemon, uuid4().hex
    configure(
        daemon,
        f"store: {redis_server.url(log)}\n"
        "logs:\n- {name: web, projects: [web]}\n- {name: new, projects: [n], store: memory}\n"
        f"- {{name: team, projects: [team], store: '{redis_server.url(log)}-team'}}\n",
    )
    before = redis_server.ask_all("DBSIZE")
    none = examined(daemon)
    after = redis_server.ask_all("DBSIZE")
    daemon.start()
    with daemon.client() as client:
        events = [Event(type="TASK_UPDATE", data={"task_id": "a", "status": "open"})] * 3
        client.publish_many([Event(type=e.type, data=e.data, project_id="team") for e in events])
    found = examined(daemon)

    place = f"127.0.0.1:{redis_server.port}"
    assert before == after
    assert re.fullmatch(rf"\w+ [\d.]+ at {re.escape(place)} answers", none["redis"][1])
    assert none["log team"][1].startswith(f"there is none yet in {redis_server.url(log)}-team")
    assert none["log web"] == ("ok", "there is none yet: the daemon will make it", None)
    assert found["log team"][1].startswith("3 entries (1 to 3) in redis://127.0.0.1")
    assert found["log web"][1].endswith("whole")
    assert found["log new"] == ("ok", "in memory: it ends with the daemon", None)
    for name in ("rights", "rights team", "durability", "durability team", "canary"):
        assert found[name][0] == "ok", found[name]
    assert found["nodes"][1] == "1 heard of late (rtevents status --all)"
    assert "node" not in found


def test_weak_settings_and_missing_rights_are_told_with_what_to_do(
    stopped_daemon: Daemon, redis: RedisServer
) -> None:
    redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    redis.ask(
        "ACL", "SETUSER", "ada", "on", ">geheim", "~*", "+@read", "+@connection", "+@transaction",
        "+info", "+config|get", "+eval", "+evalsha",
    )  # fmt: skip
    daemon = stopped_daemon
    daemon.env["RTEVENTS_STORE"] = f"redis://ada:geheim@127.0.0.1:{redis.port}/0?log=sp"
    said = daemon.run("doctor")
    redis.ask("ACL", "SETUSER", "ada", "+@all", "-@dangerous", "+info", "+config|get")
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    full = examined(daemon)
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    well = examined(daemon)
    redis.ask("ACL", "SETUSER", "ada", "-multi")
    unknown = examined(daemon)

    assert (unknown["rights"][0], redis.ask("DBSIZE")) == ("warning", b":0")
    assert said.returncode == 1
    rows = [" ".join(line.split()) for line in said.stdout.splitlines()]
    at = rows.index(
        "problem rights the user may not give HDEL, HSET, HSETNX, SCRIPT, TIME, UNLINK, XADD, XTRIM"
    )
    assert rows[at + 1] == "ACL SETUSER NAME ~{sp}:* +@all -@dangerous +info +config|get"
    assert rows[at + 2].startswith("warning durability `appendonly` is off")
    assert rows[at + 3] == "in redis.conf, or by CONFIG SET: appendonly yes"
    assert rows[at + 4].startswith("warning durability `maxmemory-policy` is allkeys-lru")
    assert "geheim" not in said.stdout + said.stderr
    assert full["rights"][0] == "problem"
    assert "is full: give it a larger maxmemory" in full["rights"][1]
    assert well["rights"][0] == "ok"


def test_a_redis_that_is_away_and_what_waits_for_it_are_told(
    stopped_daemon: Daemon, redis: RedisServer
) -> None:
    daemon = stopped_daemon
    daemon.env["RTEVENTS_STORE"] = f"redis://127.0.0.1:{redis.port}/0?log=sp"
    root = daemon.repository()
    daemon.start(str(root))
    redis.kill()
    (root / "new.txt").write_text("new\n")
    with daemon.client() as client:
        wait_for(lambda: client.status()["spooled"], "the spool has it")
    away = examined(daemon)
    daemon.stop(signal.SIGKILL)
    (daemon.home / "state" / "rtevents" / "spool").mkdir(exist_ok=True)
    daemon.run("publish", "risk", "kept", "--severity", "low", "--spool")
    redis.start()
    killed = examined(daemon)

    verdict, text, remedy = away["redis"]
    assert (verdict, "refuses the connection" in text) == ("problem", True)
    assert remedy
    assert "or correct store" in remedy
    assert away["spool"][1].endswith(f"events, in {daemon.home}/state/rtevents/spool.db")
    assert "log" not in away
    assert killed["redis"][0] == "ok"
    assert killed["spool"][1].startswith("not published yet: ")
    assert killed["spool folder"][1].startswith("published with --spool, and not taken yet: 1, in ")


def test_a_node_of_the_same_name_is_told(stopped_daemon: Daemon, redis: RedisServer) -> None:
    """As where a home was copied: it is the other one that runs."""
    daemon = stopped_daemon
    daemon.env["RTEVENTS_STORE"] = f"redis://127.0.0.1:{redis.port}/0?log=sp"
    daemon.env["RTEVENTS_NODE"] = "desk"
    daemon.start()
    own = examined(daemon)
    other = dict(daemon.env)
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        folder = daemon.home / f"other-{name}"
        folder.mkdir(mode=0o700)
        other[name] = str(folder)
    found = json.loads(daemon.run("doctor", "--json", env=other).stdout)
    [clash] = [each for each in found if each["name"] == "node"]

    assert "node" not in own
    assert clash["verdict"] == "warning"
    assert clash["text"].startswith("a daemon called 'desk', as this one, was heard ")
    assert "another name (`node`)" in clash["remedy"]


def test_what_is_not_moved_yet_is_told(stopped_daemon: Daemon, redis: RedisServer) -> None:
    daemon = stopped_daemon
    url = f"redis://127.0.0.1:{redis.port}/0?log=sp"
    daemon.start()
    daemon.run("publish", "risk", "first", "--severity", "low")
    daemon.run("migrate", url)
    daemon.run("publish", "risk", "second", "--severity", "low")
    daemon.stop()
    daemon.env["RTEVENTS_STORE"] = url
    before = examined(daemon)["log"]
    backup = daemon.run("backup", "copy.db")
    daemon.run("migrate", url)
    after = examined(daemon)["log"]

    assert before[0] == "problem"
    assert "not moved yet (up to seq 2): run `rtevents migrate --from" in before[1]
    assert after[0] == "ok"
    assert after[1].startswith("2 entries (1 to 2) in ")
    assert backup.returncode == 1
    assert "redis-cli BGSAVE" in backup.stderr
    assert "rtevents export FILE" in backup.stderr
    assert not (daemon.home / "copy.db").exists()
