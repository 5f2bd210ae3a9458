"""A daemon with several logs: real stores, real producers, and what it tells of them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rtevents
from rtevents.client.frames import Control
from rtevents.client.sync import Client
from rtevents.core.event import Entry, Event, Gap
from rtevents.core.filter import Filter
from rtevents.errors import BadInput, EventRefused, Unavailable
from tests.conftest import PATIENCE, Daemon, folder_with_a_short_path, lodging, wait_for
from tests.faults.network import Link
from tests.redis import RedisServer, running


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the logs of this module."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


def configure(daemon: Daemon, text: str) -> None:
    folder = daemon.home / "config" / "rtevents"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(text)


LOGS = """\
logs:
  - {name: web, projects: [web, web-*]}
  - {name: team, store: "%s", projects: [team], retention: {max_events: 50}}
  - {name: scratch, store: memory, projects: [scratch]}
"""


def task(name: str, project_id: str | None = None) -> Event:
    data = {"task_id": name, "status": "open"}
    return Event(type="TASK_UPDATE", data=data, project_id=project_id, event_id=name)


def measured(daemon: Daemon) -> str:
    """Return what Prometheus reads."""
    command = ["curl", "-sSf", "--unix-socket", str(daemon.socket), "http://localhost/metrics"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


MIXED = (None, "web", "team")


def test_of_several_logs_each_gap_names_its_own(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon = stopped_daemon
    configure(daemon, LOGS % redis_server.url("gaps"))
    daemon.start()
    with daemon.client() as client:
        for number in range(6):
            client.publish(task(f"e{number}", MIXED[number % 3]))
        mark = str(client.history(Filter(logs=frozenset({"scratch"}))).next)
    unknown = "it is not known what was missed (other-epoch); going on with what is kept"
    words = [f"rtevents: gap: log {name}: {unknown}" for name in ("main", "web", "team")]

    history = daemon.run("history", "--since", mark, "--type", "TASK_UPDATE")
    tail = daemon.run("tail", "--since", mark, "--type", "TASK_UPDATE", "-T")
    failed = daemon.run("tail", "--since", mark, "-T", "--fail-on-gap")

    assert (sorted(history.stderr.splitlines()), len(history.stdout.splitlines())) == (
        sorted(words), 6,
    )  # fmt: skip
    assert (sorted(tail.stderr.splitlines()), len(tail.stdout.splitlines())) == (
        sorted(words), 6,
    )  # fmt: skip
    assert failed.returncode == 6
    assert failed.stderr.rstrip("\n") in words


def test_a_reader_of_all_logs_misses_nothing_when_the_daemon_is_killed(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon = stopped_daemon
    configure(daemon, LOGS % redis_server.url("killed"))
    daemon.start()
    sent = [f"e{number}" for number in range(60)]

    def publish(numbers: range) -> None:
        with daemon.client() as client:
            for number in numbers:
                client.publish(task(f"e{number}", MIXED[number % 3]))

    publish(range(20))
    with daemon.client() as client:
        frames = client.stream(Filter(types=frozenset({"TASK_UPDATE"})), since="all", control=True)
        seen: list[str] = []
        gaps: list[Gap] = []
        is_killed = False
        for frame in frames:
            if isinstance(frame, Control) and frame.name == "live":
                publish(range(40, 60) if is_killed else range(20, 30))
            if isinstance(frame, Gap):
                gaps.append(frame)
            if isinstance(frame, Entry) and frame.seq:
                seen.append(frame.event_id)
            if len(seen) == 30 and not is_killed:
                is_killed = True
                publish(range(30, 40))
                daemon.stop(signal.SIGKILL)
                daemon.start()
            if len(seen) == len(sent):
                break

    assert sorted(seen, key=lambda name: int(name[1:])) == sent
    # Each log in its order, and once; the one in memory is another after the start.
    for log in range(3):
        assert [s for s in seen if int(s[1:]) % 3 == log] == sent[log::3]
    assert [gap.reason for gap in gaps] == ["other-epoch"]


def test_what_each_log_has_is_told(stopped_daemon: Daemon, redis_server: RedisServer) -> None:
    daemon = stopped_daemon
    configure(daemon, LOGS % redis_server.url("told"))
    root = daemon.repository()
    daemon.start(str(root))
    with daemon.client() as client:
        client.publish_many([task(f"t{number}", "team") for number in range(3)])
        with pytest.raises(EventRefused, match="goes to the log 'web', the first to 'team'"):
            client.publish_many([task("x", "team"), task("y", "web")])
        status = client.status()
        daemon.git("commit", "--allow-empty", "-qm", "Go on", cwd=root)
        wanted = Filter(types=frozenset({"COMMIT"}))
        [commit] = client.history(wanted, wait=PATIENCE).events
        web = client.history(Filter(projects=frozenset({"web"})))

    # Its producers publish into the log of their project.
    assert commit.project_id == "web"
    assert commit in web.events
    logs = {each["name"]: each for each in status["logs"]}
    assert list(logs) == ["main", "web", "team", "scratch"]
    assert (logs["team"]["newest"], logs["team"]["health"]["status"]) == (3, "ok")
    assert logs["team"]["store"] == redis_server.url("told")
    assert logs["web"]["epoch"] == web.next.epoch
    assert status["bookmark"].count(",") == 3
    said = daemon.run("status").stdout
    assert f"log      team: team  {redis_server.url('told')}  {logs['team']['epoch']}" in said
    done = daemon.run("history", "--project", "team")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert daemon.run("publish", "task", "t9", "--status", "done", "--project", "team").stdout
    assert (daemon.home / "state" / "rtevents" / "events-web.db").exists()
    # What counts by seqs is of one log, and says so.
    for words in (
        ("export", "-"),
        ("replay", "--speed", "max"),
        ("on", "--", "true"),
        ("trace", "t1"),
    ):
        done = daemon.run(*words)
        assert done.returncode != 0, words
        assert "several logs" in done.stderr, done.stderr
    assert "a trace is of one: name it (--log NAME)" in daemon.run("trace", "2").stderr
    assert "name it (--log main, or" in daemon.run("report", "--since", "24h").stderr
    assert daemon.run("export", "-", "--project", "team").stdout.count("TASK_UPDATE") == 4
    for command in ("export -", "replay --speed max -o ndjson"):
        done = daemon.run(*command.split(), "--log", "team")
        assert done.stdout.count("TASK_UPDATE") == 4, done.stderr
    done = daemon.run("wait", "--log", "team", "--since", "all", "--count", "4")
    assert done.returncode == 0, done.stderr
    assert json.loads(daemon.run("trace", "2", "--log", "team").stdout)["event_id"] == "t1"
    assert "4 events" in daemon.run("report", "--log", "team", "-o", "pretty").stdout
    done = daemon.run("tail", "--since", "all", "-T", "--log", "nobody")
    assert (
        "there is no 'nobody' to read, expected main or web or team or scratch, or" in done.stderr
    )
    more = daemon.run("history", "--type", "TASK_UPDATE", "--limit", "2")
    assert "more" in more.stderr, more.stderr


def test_figures_of_several_logs_are_told_together_and_apart(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon = stopped_daemon
    configure(daemon, LOGS % redis_server.url("figures"))
    daemon.start("--no-project")
    with daemon.client() as client:
        client.publish_many([task(f"t{number}", "team") for number in range(3)])
        client.publish_many([task(f"w{number}", "web") for number in range(2)])
        token = client.create_token("admin", projects=["team"])["token"]
        both = client.create_token("admin", projects=["team", "web"])["token"]
        url = client.status()["url"]

    def told(*words: str, **env: str) -> Any:
        done = daemon.run(*words, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout

    everything = told("stats", "--once", "--json")
    assert list(everything["logs"]) == ["main", "web", "team", "scratch"]
    published = {name: each["events"]["published"] for name, each in everything["logs"].items()}
    # What the daemon tells of itself is in the main one, whenever that comes.
    assert published | {"main": 0} == {"main": 0, "web": 2, "team": 3, "scratch": 0}
    assert everything["events"]["published"] == sum(published.values())
    assert everything["events"]["by_type"]["TASK_UPDATE"] == 5
    assert everything["queue"]["max_size"] == 4 * everything["logs"]["web"]["queue"]["max_size"]
    # What is of one log has no sum.
    assert not {"log", "latency"} & set(everything)
    team = told("stats", "--once", "--json", "--log", "team")
    assert (team["log"]["newest"], team["events"]["published"], "logs" in team) == (3, 3, False)
    table = told("stats", "--once")
    stored = re.search(r"^events +(\d+) stored", table, re.MULTILINE)
    assert stored is not None
    assert int(stored[1]) >= 5
    assert re.search(r"^team +entries 1 to 3 +3 +[0-9.]+/s +0 +0 +[0-9.]+ ms ", table, re.MULTILINE)
    assert "log        entries 1 to 3" in told("stats", "--once", "--log", "team")
    limited = told("stats", "--once", "--json", RTEVENTS_URL=url, RTEVENTS_TOKEN=token)
    assert (limited["log"]["newest"], limited["events"]["published"]) == (3, 3)

    table = told("stats", "--once", RTEVENTS_URL=url, RTEVENTS_TOKEN=both)
    assert re.findall(r"^(\w+) +entries 1 to (\d)", table, re.MULTILINE) == [
        ("web", "2"),
        ("team", "3"),
    ]

    assert "log      main: " in told("status")
    one = told("status", "--log", "team")
    # How well it is, a busy machine may decide.
    assert f"  log team: team  {redis_server.url('figures')}  {team['log']['epoch']}, " in one
    assert (
        told("status", "--log", "main", "--json")["epoch"]
        == everything["logs"]["main"]["log"]["epoch"]
    )
    bookmark = told("status", "--bookmark", "--log", "team").strip()
    assert bookmark == f"{team['log']['epoch']}-3"
    assert "team: team" in told("status", RTEVENTS_URL=url, RTEVENTS_TOKEN=token)
    for words in (("stats", "--once"), ("top",), ("status",)):
        done = daemon.run(*words, "--log", "nobody")
        assert (done.returncode, "no 'nobody' to read" in done.stderr) == (2, True), done.stderr

    streams = [
        daemon.popen("tail", "--log", "team"),
        daemon.popen("tail", "--log", "web"),
        daemon.popen("tail"),
    ]
    try:
        with daemon.client() as client:
            # The daemon's own terminal is a reader too.
            pids = {each.pid for each in streams}
            wait_for(lambda: pids <= {c["pid"] for c in client.connections()}, "all are connected")

        def readers(*words: str) -> set[int]:
            table = told("top", *words)
            return {at for at, each in enumerate(streams) if re.search(rf"\b{each.pid}\b", table)}

        assert readers() == {0, 1, 2}
        assert readers("--log", "team") == {0, 2}
        assert readers("--log", "scratch") == {2}
    finally:
        for each in streams:
            each.kill()
            each.communicate()


def test_a_log_that_is_away_harms_no_other(stopped_daemon: Daemon, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    daemon = stopped_daemon
    try:
        configure(daemon, LOGS % redis.url("away"))
        daemon.start()
        redis.kill()
        with Client(daemon.socket, retry_for=0.0) as client:
            with pytest.raises(Unavailable, match="redis at"):
                client.publish(task("a", "team"))
            client.publish(task("b", "web"))
        with daemon.client() as client:
            wait_for(
                lambda: any("log team: " in r for r in client.status()["health"]["reasons"]),
                "the health tells it",
            )
            # Of the main log itself nothing is amiss, and what goes to the other is refused.
            told = {each["name"]: each["health"] for each in client.status()["logs"]}
            assert "log team" not in str(told["main"])
            assert told["team"]["status"] == "failed"
            figures = measured(daemon)
            assert 'rtevents_logs_store_up{log="team"} 0.0' in figures
            assert 'rtevents_logs_store_up{log="main"} 1.0' in figures
            assert 'rtevents_logs_spool_capacity_bytes{log="team"} 2.68435456e+08' in figures
            assert "rtevents_nodes 1.0" in figures
            checked = daemon.run("check")
            assert checked.returncode == 2
            assert checked.stdout.startswith(
                "RTEVENTS CRITICAL - log team: events cannot be stored"
            )
            redis.start()
            wait_for(
                lambda: "log team" not in str(client.status()["health"]["reasons"]),
                "it is well again, however much was refused",
            )
            assert client.publish(task("a", "team")).seq == 1
    finally:
        redis.stop()


def test_nodes_with_other_logs_are_told_of(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    """Else what one of them publishes for such a project is found by nobody at the other."""
    own = {
        "RTEVENTS_STORE": redis_server.url("differ"),
        "RTEVENTS_NODE_INTERVAL": "0.2",
    }
    configure(stopped_daemon, LOGS % redis_server.url("differ-team"))
    stopped_daemon.start(env=own | {"RTEVENTS_NODE": "one"})
    with folder_with_a_short_path() as folder, lodging(folder) as other:
        other.start("--no-project", env=own | {"RTEVENTS_NODE": "two"})

        def warned(daemon: Daemon) -> bool:
            with daemon.client() as client:
                reasons = client.status()["health"]["reasons"]
            return any(each.startswith("logs.differ: ") for each in reasons)

        wait_for(lambda: warned(stopped_daemon) and warned(other), "both warn")
        said = other.run("status", "--all").stdout
        assert "logs.differ: 'one': configured with other `logs` than this node" in said
        assert "           its `logs` are others than here: give all nodes the same" in said
    wait_for(lambda: not warned(stopped_daemon), "the other has left")


def test_sinks_and_retention_are_of_one_log(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon = stopped_daemon
    out = daemon.home / "out.ndjson"
    configure(
        daemon,
        "retention: {interval: 0.1}\n"
        + LOGS % redis_server.url("kept")
        + f"sinks:\n  - {{name: one, project: team, since: all, file: {{path: {out}}}}}\n"
        f"  - {{name: named, log: team, since: all, file: {{path: {out}.named}}}}\n"
        f"  - {{name: several, file: {{path: {out}}}}}\n",
    )
    daemon.start()
    with daemon.client() as client:
        client.publish_many([task(f"w{number}", "web") for number in range(60)])
        client.publish_many([task(f"t{number}", "team") for number in range(40)])
        wait_for(lambda: out.exists() and len(out.read_bytes().splitlines()) == 40, "it is written")
        client.publish_many([task(f"t{number}", "team") for number in range(40, 60)])

        def oldest() -> dict[str, int]:
            return {each["name"]: each["oldest"] for each in client.status()["logs"]}

        wait_for(lambda: oldest()["team"] == 11, "the log keeps no more than it is to")
        assert oldest()["web"] == 1
        reasons = " ".join(client.status()["health"]["reasons"])
    assert "several" in reasons
    assert "this is in several logs (main, web, team, scratch), and is read from one" in reasons
    for file in (out, Path(f"{out}.named")):
        assert {json.loads(line)["project_id"] for line in file.read_bytes().splitlines()} == {
            "team"
        }


def test_the_past_of_a_project_is_read_by_the_name_of_its_old_log(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    daemon.start("--no-project")
    with daemon.client() as client:
        client.publish_many([task("old1", "web"), task("other"), task("old2", "web")])
    daemon.stop()
    configure(daemon, "logs: [{name: web, projects: [web]}]\n")
    daemon.start("--no-project")
    told = "rtevents: older events of web are in the log main: --log main has them\n"

    def seen(*words: str) -> tuple[list[str], str]:
        done = daemon.run(*words, "--project", "web")
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines() if '"task_id"' in line]
        return [line["data"]["task_id"] for line in lines], done.stderr

    # It has told nothing since: that it is no project would be false.
    assert seen("history") == ([], told)
    with daemon.client() as client:
        client.publish(task("new", "web"))
    for words in (
        ["history"],
        ["history", "--since", "1h"],
        ["tail", "--since", "all", "-T"],
        ["tail", "--last", "5", "-T"],
        ["export", "-"],
        ["replay", "--speed", "max", "-o", "ndjson"],
    ):
        assert seen(*words) == (["new"], told), words
        named = seen(*words, "--log", "main")
        assert named == (["old1", "old2"], ""), words
    assert json.loads(daemon.run("report", "--project", "web").stdout)["events"] == 1
    assert daemon.run("report", "--project", "web").stderr == told
    counted = daemon.run("report", "--project", "web", "--log", "main")
    assert (json.loads(counted.stdout)["events"], counted.stderr) == (2, "")
    # Both, as one; and what is from now on has no past.
    both = ["--log", "main", "--log", "web"]
    assert seen("history", *both) == (["old1", "old2", "new"], "")
    assert seen("tail", *both, "--since", "all", "-T")[0] == ["old1", "old2", "new"]
    assert seen("history", "--since", "new") == ([], "")
    waited = seen("wait", "--log", "main", "--since", "all", "--count", "2")
    assert waited == (["old1", "old2"], "")
    words = ["--log", "main", "--project", "web", "--since", "all"]
    reacting = daemon.popen("on", *words, "--", "sh", "-c", "echo $RTEVENTS_EVENT_ID")
    assert reacting.stdout is not None
    assert [reacting.stdout.readline() for _ in range(2)] == ["old1\n", "old2\n"]
    reacting.terminate()
    reacting.communicate()
    # As the page has it.
    page = (Path(rtevents.__file__).parent / "docs" / "redis.md").read_text()
    history, tail = page.partition("```sh past\n")[2].partition("```")[0].splitlines()
    assert daemon.run(*history.split()[1:]).stdout.count('"task_id"') == 2
    assert daemon.run(*tail.split()[1:]).stdout.count('"task_id"') == 3


def test_a_log_of_its_own_is_moved_out_of_its_own_file(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon = stopped_daemon
    configure(daemon, "logs: [{name: web, projects: [web]}]\n")
    daemon.start("--no-project")
    with daemon.client() as client:
        client.publish_many([task(f"w{number}", "web") for number in range(3)])
        mark = client.history(Filter(logs=frozenset({"web"}))).next
    daemon.stop()
    file = daemon.home / "state" / "rtevents" / "events-web.db"
    url = redis_server.url("moved-web")
    moved = daemon.run("migrate", "--from", str(file), url)
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout.startswith("3 entries moved; 3 (1 to 3) are the same here and there")
    configure(daemon, f"logs: [{{name: web, projects: [web], store: '{url}'}}]\n")
    daemon.start("--no-project")

    with daemon.client() as client:
        client.publish(task("w3", "web"))
        page = client.history(Filter(logs=frozenset({"web"})), after=str(mark))
    assert [(entry.event_id, entry.seq) for entry in page.events] == [("w3", 4)]
    assert page.gap is None


def test_a_name_is_as_far_behind_as_its_log_says(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    configure(daemon, "logs: [{name: web, projects: [web]}]\n")
    daemon.start("--no-project")
    with daemon.client() as client:
        client.publish_many([task(f"w{number}", "web") for number in range(3)])

        def listed() -> Any:
            names = json.loads(daemon.run("sinks", "--json").stdout)
            return names[0] if names else {"bookmark": "it does not run yet"}

        words = ("on", "--log", "web", "--as", "nm", "--since", "all", "--", "true")
        running = daemon.popen(*words)
        try:
            epoch = {each["name"]: each["epoch"] for each in client.status()["logs"]}["web"]
            wait_for(lambda: listed()["bookmark"] == f"{epoch}-3", "it is done")
        finally:
            running.terminate()
            running.communicate()
        client.publish(task("w3", "web"))

    assert (listed()["lag"], listed()["log"]) == (1, "web")
    assert re.search(rf", lag 1 in web  {epoch}-3$", daemon.run("sinks").stdout, re.M)


def test_the_example_of_the_page_runs(stopped_daemon: Daemon, redis_server: RedisServer) -> None:
    daemon = stopped_daemon
    page = (Path(rtevents.__file__).parent / "docs" / "redis.md").read_text()

    def block(info: str) -> str:
        found = re.search(rf"^```{info}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        assert found is not None
        return found[1]

    configure(
        daemon,
        block("yaml logs").replace("redis://10.0.0.2:6379/0?log=team", redis_server.url("page")),
    )
    daemon.start()
    (daemon.home / "bin").symlink_to(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-eu"],
        input='export PATH="$PWD/bin:$PATH"\n' + block("sh logs"),
        env=daemon.env,
        cwd=daemon.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith('{"seq":')]
    assert [json.loads(line)["data"]["task_id"] for line in told] == [
        "T-2", "T-1", "T-1", "T-2", "T-1", "T-2",
    ]  # fmt: skip
    assert [json.loads(line)["seq"] for line in told] == [1] * 6


def start_refused(daemon: Daemon) -> str:
    """Start a daemon that ends at once, and return why."""
    done = daemon.run("serve", "--no-project")
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


def test_one_log_under_two_names_is_refused_before_and_at_the_start(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    daemon = stopped_daemon
    url, same = (
        redis_server.url("twice"),
        redis_server.url("twice").replace("127.0.0.1", "LOCALHOST"),
    )
    configure(daemon, f"store: {url}\nlogs:\n  - {{name: b, projects: [b], store: '{same}'}}\n")
    checked = daemon.run("config", "check")
    assert checked.returncode == 2
    said = "config.yaml:3: logs[0].store: the log 'main' is there: give this one another ?log=NAME"
    assert said in checked.stderr
    assert said in start_refused(daemon)

    # A name that hides it: who opens the log sees it.
    link = Link(redis_server.port)
    try:
        hidden = f"redis://127.0.0.1:{link.port}/0?log=twice"
        configure(
            daemon, f"store: {url}\nlogs:\n  - {{name: b, projects: [b], store: '{hidden}'}}\n"
        )
        assert daemon.run("config", "check").returncode == 0
        said = start_refused(daemon)
    finally:
        link.close()
    assert "logs: 'main' and 'b' are one log" in said
    assert "give one of them another ?log=NAME" in said


def test_a_copied_log_is_refused_and_put_away_it_begins_anew(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    daemon.start("--no-project")
    with daemon.client() as client:
        client.publish(task("a"))
    daemon.stop()
    state = daemon.home / "state" / "rtevents"
    copy = state / "events-web.db"
    copy.write_bytes((state / "events.db").read_bytes())
    configure(daemon, "logs: [{name: web, projects: [web]}]\n")

    said = start_refused(daemon)

    assert "logs: 'main' and 'web' are one log" in said
    assert f"put {copy} away, and a new one begins" in said
    copy.rename(daemon.home / "away.db")
    daemon.start("--no-project")
    with daemon.client() as client:
        epochs = [each["epoch"] for each in client.status()["logs"]]
        assert len(set(epochs)) == 2
        # Of the logs themselves nothing changes while it runs, and what is wrong is told first.
        configure(daemon, "logs: [{name: web, projects: [web]}, {name: b, projects: [b]}]\n")
        with pytest.raises(BadInput, match="logs: can only change when the daemon starts"):
            client.reload()
        url = "redis://127.0.0.1:1"
        configure(
            daemon,
            f"logs:\n  - {{name: web, projects: [web], store: '{url}'}}\n"
            f"  - {{name: b, projects: [b], store: '{url}/0'}}\n",
        )
        with pytest.raises(
            BadInput, match=r"config.yaml:3: logs\[1\].store: the log 'web' is there"
        ):
            client.reload()
        assert [each["epoch"] for each in client.status()["logs"]] == epochs


def test_a_further_log_is_moved_by_its_file_and_not_begun_before(
    stopped_daemon: Daemon, redis_server: RedisServer
) -> None:
    """The command that is told is the one to give."""
    daemon, url = stopped_daemon, redis_server.url("moved")
    configure(daemon, "logs:\n- {name: team, projects: [team]}\n")
    daemon.start()
    file = str(daemon.home / "state" / "rtevents" / "events-team.db")
    with daemon.client() as client:
        client.publish_many([task("a", "team"), task("b", "team")])
        online = daemon.run("migrate", url, "--from", file, "--json")
        client.publish(task("c", "team"))
    daemon.stop()
    configure(daemon, f"logs:\n- {{name: team, projects: [team], store: '{url}'}}\n")
    early = daemon.run("serve", "--no-project")
    [command] = re.findall(r"`rtevents (.*)`", early.stderr)
    rest = daemon.run(*shlex.split(command))
    daemon.start()
    with daemon.client() as client:
        c = client.publish(task("d", "team"))
        found = client.history(Filter(logs=frozenset({"team"}), types=frozenset({"TASK_UPDATE"})))

    assert json.loads(online.stdout)["is_complete"] is False
    assert early.returncode == 1
    assert f"log team: 1 event of {file} is not moved yet (up to seq 3): run" in early.stderr
    assert rest.stdout.startswith("1 entries moved; 3 (1 to 3) are the same here and there")
    assert [entry.event_id for entry in found.events] == ["a", "b", "c", "d"]
    assert c.seq == 4
