"""Every other command, every help text, and every way to mistype."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import typer

from rtevents.cli import app, run
from rtevents.config.mistakes import MOST
from rtevents.config.render import default_yaml
from rtevents.docs import TOPICS
from tests.conftest import Daemon


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and every group of commands."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        if hasattr(command, "list_commands"):
            context = typer.Context(command)  # type: ignore[arg-type] # typer's own click has no public name
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), (*words, name))  # type: ignore[attr-defined]

    yield from walk(typer.main.get_command(app), ())


COMMANDS = list(commands())


def said_by(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr of a command line run in this process."""
    code = run(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_every_command_is_found() -> None:
    assert {("publish", "auto-commit", "error"), ("tail",), ("token", "create")} <= set(COMMANDS)
    assert len(COMMANDS) > 35


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_help_exits_with_0_and_has_an_example(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], option: str
) -> None:
    code, out, err = said_by(capsys, *words, option)

    assert (code, err) == (0, "")
    assert re.search(rf"^ +rtevents {' '.join(words)}", out, re.MULTILINE), out
    assert max(map(len, out.splitlines())) <= 100
    # A first line that is too long for the list of commands would be cut.
    assert re.search(r"\w\.\.\.$", out.replace("NAME=VALUE...", ""), re.MULTILINE) is None


def test_no_words_at_all_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_by(capsys) == said_by(capsys, "--help")


MISUSE = {
    "tial": "no such command 'tial', did you mean tail?; see: rtevents --help",
    "xyzzy": "no such command 'xyzzy'; see: rtevents --help",
    "--nope": "no such option: --nope; see: rtevents --help",
    "--debug": f"missing command, one of {', '.join(w[0] for w in COMMANDS if len(w) == 1)}; "
    "see: rtevents --help",
    "tail --fail-on-gab": "no such option: --fail-on-gab (Possible options: --fail-on-gap); "
    "see: rtevents tail --help",
    "tail extra": "got unexpected extra argument(s) (extra); see: rtevents tail --help",
    "tail -o xml": "invalid value for '--output' / '-o': 'xml' is not one of 'pretty', 'ndjson'; "
    "see: rtevents tail --help",
    "tail --count 0": "invalid value for '--count': 0 is not in the range x>=1; "
    "see: rtevents tail --help",
    "tail --timeout soon": "--timeout: expected a duration such as 30s, got 'soon'; "
    "see: rtevents tail --help",
    "tail --since all -n 3": "--since and --last exclude each other; see: rtevents tail --help",
    "publish": "missing what to publish: a kind of event, or --stdin; see: rtevents publish --help",
    "publish riks": "no such command 'riks', did you mean risk?; see: rtevents publish --help",
    "publish risk": "missing argument 'MESSAGE'; see: rtevents publish risk --help",
    "publish risk x --severity hihg": "invalid value for '--severity': 'hihg' is not one of "
    "'low', 'medium', 'high', 'critical'; see: rtevents publish risk --help",
    "publish risk x --time yesterday": "not a time: 'yesterday'; write 10m, 1763863200 or RFC 3339",
    "publish progress --done nan --total 1": "--done: expected a finite number, got nan; "
    "see: rtevents publish progress --help",
    "publish progress --done 1 --total inf": "--total: expected a finite number, got inf; "
    "see: rtevents publish progress --help",
    "tail --project \udcff": "not UTF-8 text: '\\udcff'",
    "publish --stdin risk": "--stdin takes no further words, got 'risk'; "
    "see: rtevents publish --help",
    "publish --spool risk x": "--spool goes behind the kind of event: publish risk … --spool; "
    "see: rtevents publish --help",
    "publish system broken": "invalid value for 'status': 'broken' is not one of "
    "'ok', 'degraded', 'failed'; see: rtevents publish system --help",
    "publish dashboard a": "expected NAME=VALUE, got 'a'; see: rtevents publish dashboard --help",
    "publish auto-commit": "missing command, one of start, result, error; "
    "see: rtevents publish auto-commit --help",
    "publish auto-commit start --changes -1": "invalid value for '--changes': -1 is not in the "
    "range x>=0; see: rtevents publish auto-commit start --help",
    "project": "missing command, one of add, remove, list; see: rtevents project --help",
    "project lst": "no such command 'lst', did you mean list?; see: rtevents project --help",
    "hook": "missing command, one of install, uninstall, status, tell; see: rtevents hook --help",
    "token": "missing command, one of create, list, check, revoke; see: rtevents token --help",
    "token create --role king": "invalid value for '--role': 'king' is not one of "
    "'viewer', 'publisher', 'admin', 'owner'; see: rtevents token create --help",
    "config": "missing command, one of show, check, default; see: rtevents config --help",
    "docs nothing": f"no page 'nothing', expected one of {', '.join(TOPICS)}; "
    "see: rtevents docs --help",
    "completion tcsh": "invalid value for 'shell': 'tcsh' is not one of 'bash', 'zsh', 'fish'; "
    "see: rtevents completion --help",
    "connections close": "missing argument 'CONNECTION_ID'; see: rtevents connections close --help",
    "connections foo": "no such command 'foo'; see: rtevents connections --help",
    "types add X --schema {": "--schema: not JSON: Expecting property name enclosed in double "
    "quotes: line 1 column 2 (char 1); see: rtevents types add --help",
    "types add X --schema []": "--schema: expected a JSON object; see: rtevents types add --help",
    **{
        f"stats --json --interval {given}": f"--interval: expected 0.1 to 86400 seconds, "
        f"got {shown}; see: rtevents stats --help"
        for given, shown in (("0", "0"), ("-1", "-1"), ("nan", "nan"), ("inf", "inf"))
    },
    "stats --interval x": "invalid value for '--interval': 'x' is not a valid float; "
    "see: rtevents stats --help",
}


FILTERS = [
    ["--type", ""],
    ["-t", "COMMIT", "--type", " "],
    ["--type", "COMMIT,"],
    ["--not-type", ""],
    ["--project", ""],
    ["--project", ","],
    ["--source", ""],
    ["--path", ""],
]


@pytest.mark.parametrize("words", MISUSE)
def test_misuse_is_one_line_with_the_place_of_the_help(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert said_by(capsys, *words.split()) == (2, "", f"rtevents: {MISUSE[words]}\n")


@pytest.mark.parametrize(
    "words",
    [
        *(["tail", *each] for each in FILTERS), *(["history", *each] for each in FILTERS),
        ["history", "--after", ""], ["token", "create", "--role", "viewer", "--project", ""],
        ["token", "create", "--role", "viewer", "--type", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_value_does_not_lift_a_limit(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, err = said_by(capsys, *words)

    command = "token create" if words[0] == "token" else words[0]
    said = f"{words[-2]}: expected a value, got {words[-1].split(',')[-1]!r}"
    assert (code, out) == (2, "")
    assert err == f"rtevents: {said}; see: rtevents {command} --help\n"


@pytest.mark.parametrize(
    "words", [["tail", "--since"], ["tail", "--until"], ["history", "--since"]]
)
def test_an_empty_place_is_none(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert said_by(capsys, *words, "") == (
        2,
        "",
        "rtevents: not a time, a bookmark or an event id: ''\n",
    )


# A plugin of Nagios has its own words for it: see test_check.
@pytest.mark.parametrize(
    "words", [words for words in COMMANDS if words not in ((), ("check",))], ids=" ".join
)
def test_an_unknown_option_is_one_line_for_every_command(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = said_by(capsys, *words, "--no-such-option")

    assert (code, out) == (2, "")
    assert re.fullmatch(r"rtevents: no such option: --no-such-option.*; see: rtevents .*\n", err)


def test_mistyped_words_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said_by(capsys, "a\x1b]52;c;eA==\x07\nb")

    assert code == 2
    assert err == "rtevents: no such command 'a\\x1b]52;c;eA==\\x07\\nb'; see: rtevents --help\n"


def test_a_bug_is_one_line_and_a_traceback_on_request(shared_daemon: Daemon) -> None:
    code = "from rtevents.cli import main, status; status.options.client = None; main()"
    command = [sys.executable, "-c", code]
    plain, debug = (
        subprocess.run(
            [*command, *words], env=shared_daemon.env, capture_output=True, text=True, check=False
        )
        for words in (["status"], ["--debug", "status"])
    )

    assert plain.returncode == 1
    assert plain.stderr == (
        "rtevents: a bug: TypeError: 'NoneType' object is not callable "
        "(rtevents --debug … shows more)\n"
    )
    assert "Traceback" in debug.stderr


def test_a_project_is_added_listed_and_removed(daemon: Daemon) -> None:
    root = daemon.repository()

    added = daemon.run("project", "add", str(root), "--id", "shop", "--ignore", "dist/", "--no-git")
    listed = daemon.run("project", "list")
    (found,) = json.loads(daemon.run("project", "list", "--json").stdout)
    removed = daemon.run("project", "remove", "shop")
    again = daemon.run("project", "remove", "shop")

    assert added.stdout == f"watching shop: {root}\n"
    assert listed.stdout.split() == ["shop", "watching", "files", "tasks", str(root)]
    assert (found["id"], found["git"]) == ("shop", False)
    assert removed.stdout == "no longer watching shop\n"
    assert daemon.run("project", "list").stdout.startswith("nothing is watched; add this folder")
    assert again.returncode == 1
    assert "'shop'" in again.stderr


def test_a_folder_that_is_a_project_gets_no_second_id(daemon: Daemon) -> None:
    root = daemon.repository()
    daemon.run("project", "add", str(root))

    other = daemon.run("project", "add", ".", "--id", "other", cwd=root)
    same = daemon.run("project", "add", ".", "--id", "web", cwd=root)

    assert (other.returncode, other.stdout) == (2, "")
    assert other.stderr == (
        f"rtevents: id: {root} is project 'web' already; to give it another id: "
        "rtevents project remove web\n"
    )
    assert (same.returncode, same.stdout) == (0, f"watching web: {root}\n")


def test_a_folder_that_is_a_project_keeps_its_settings_and_says_so(daemon: Daemon) -> None:
    root = daemon.repository()
    daemon.run("project", "add", str(root), "--ignore", "dist/")

    other = daemon.run("project", "add", ".", "--auto-commit", "--tasks", "a.md", cwd=root)
    same = daemon.run("project", "add", ".", "--ignore", "dist/", cwd=root)
    plain = daemon.run("project", "add", ".", cwd=root)

    assert (other.returncode, other.stdout) == (2, "")
    assert other.stderr == (
        f"rtevents: tasks, auto_commit: {root} is project 'web' already, with other settings; "
        "to change them: rtevents project remove web\n"
    )
    assert same.stdout == plain.stdout == f"watching web: {root}\n"


def test_all_that_somebody_has_is_watched_by_force_alone(daemon: Daemon) -> None:
    said = {
        "/": "/ holds the home folder",
        "~": f"{daemon.home} is the home folder",
        ".": f"{daemon.home} is the home folder",
        str(daemon.home.parent): f"{daemon.home.parent} holds the home folder",
    }
    for path, words in said.items():
        done = daemon.run("project", "add", path)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"rtevents: {words}: name a project in it, or add --force; "
            "see: rtevents project add --help\n"
        )
    assert daemon.run("project", "add", "--force", "--no-files").returncode == 0


def test_an_id_that_another_folder_has_is_refused_naming_it(daemon: Daemon) -> None:
    first = daemon.repository("web")
    (daemon.home / "other").mkdir()
    second = daemon.repository("other/web")
    daemon.run("project", "add", str(first))

    done = daemon.run("project", "add", str(second))

    assert done.returncode == 1
    assert str(first) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_type_of_ones_own_is_held_to_its_schema(daemon: Daemon) -> None:
    (daemon.home / "deploy.json").write_text('{"required": ["version"]}')

    added = daemon.run("types", "add", "deploy", "--schema", "@deploy.json")
    refused = daemon.run("publish", "event", "DEPLOY", "--data", "{}")
    stored = daemon.run("publish", "event", "DEPLOY", "--data", '{"version": 1}')

    assert added.stdout == "DEPLOY is an event type now\n"
    assert (refused.returncode, stored.returncode) == (5, 0)
    assert "version" in refused.stderr
    assert "DEPLOY" in daemon.run("types").stdout
    assert daemon.run("types", "add", "COMMIT").returncode == 5
    assert daemon.run("types", "add", "X", "--schema", "@nothing").returncode == 2


def test_the_types_are_shown_with_their_fields(shared_daemon: Daemon) -> None:
    lines = shared_daemon.run("types").stdout.splitlines()
    names = [each["name"] for each in json.loads(shared_daemon.run("types", "--json").stdout)]

    at = lines.index(f"{'RISK_ALERT':<20}Something that somebody should look at.")
    assert lines[at + 1].startswith(" " * 20 + "severity message [rule]")
    assert len(names) == 12


def test_the_names_of_fields_are_made_safe(daemon: Daemon) -> None:
    schema = json.dumps({"properties": {"a\x1b[2Jb": {}}})
    daemon.run("types", "add", "DEPLOY", "--schema", schema)

    assert "[a\\x1b[2Jb]" in daemon.run("types").stdout


def test_the_page_of_types_is_the_reference_that_is_shipped(daemon: Daemon) -> None:
    """And a type of one's own cannot break its table."""
    schema = {"properties": {"stage": {"description": "test | live"}}, "required": ["stage"]}
    daemon.run("types", "add", "DEPLOY", "--schema", json.dumps(schema))
    page = daemon.run("types", "--markdown").stdout
    shipped = (Path(__file__).parents[2] / "rtevents" / "docs" / "events.md").read_text()

    rows = [line for line in page.splitlines() if line.startswith("| `")]
    own = "| `stage` | any | yes | test &#124; live |"
    assert own in rows
    assert set(rows) - {own} == set(re.findall(r"^\| `.*", shipped.split("## Types")[1], re.M))
    assert len(re.findall(r"^## [A-Z_]+$", page, re.M)) == 13


def test_a_token_is_told_once_works_and_is_revoked(daemon: Daemon) -> None:
    listen = json.loads(daemon.run("status", "--json").stdout)["listen"]
    made = daemon.run(
        "token", "create", "--role", "viewer", "--project", "web", "--type", "RISK_ALERT",
        "--expires", "30d", "--name", "phone",
    )  # fmt: skip
    env = {"RTEVENTS_URL": f"http://{listen}", "RTEVENTS_TOKEN": made.stdout.strip()}
    (listed,) = json.loads(daemon.run("token", "list", "--json").stdout)
    line = daemon.run("token", "list").stdout

    allowed = daemon.run("history", "--project", "web", env=env)
    beyond = daemon.run("history", "--project", "api", env=env)
    publishing = daemon.run("publish", "risk", "x", "--project", "web", env=env)
    revoked = daemon.run("token", "revoke", listed["id"])
    after = daemon.run("history", env=env)

    assert re.fullmatch(r"rte_\S+\n", made.stdout)
    assert made.stdout.strip() not in line + json.dumps(listed)
    assert line.split()[:3] == [listed["id"], "viewer", "until"]
    assert line.split()[5:] == ["web,RISK_ALERT", "phone"]
    assert listed["expires"] == pytest.approx(time.time() + 30 * 86400, abs=60)
    assert allowed.returncode == 0
    assert [each.returncode for each in (beyond, publishing, after)] == [4, 4, 4]
    assert revoked.stdout == f"revoked {listed['id']}\n"


def test_the_dashboard_address_logs_in_once(shared_daemon: Daemon) -> None:
    done = shared_daemon.run("dashboard", "--print")

    assert done.returncode == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#\S+\n", done.stdout)
    with urlopen(Request(done.stdout.partition("#")[0])) as page:  # noqa: S310 - a shared_daemon of ours
        assert page.status == 200


def test_without_tcp_there_is_no_dashboard_to_open(stopped_daemon: Daemon) -> None:
    stopped_daemon.start("--no-project", env={"RTEVENTS_LISTEN": "none"})

    done = stopped_daemon.run("dashboard", "--print")

    assert (done.returncode != 0, done.stdout) == (True, "")
    assert len(done.stderr.splitlines()) == 1


def test_connections_show_filter_and_lag_with_the_whole_id(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    # A daemon that prints its events is a reader of its own.
    daemon.start("--no-project", "--quiet")
    assert daemon.run("connections").stdout == "nobody is connected\n"
    with daemon.popen("tail", "-t", "COMMIT") as tail:
        found: list[dict[str, object]] = []
        while not found:
            found = json.loads(daemon.run("connections", "--json").stdout)
        head, row = daemon.run("connections", env={"COLUMNS": "40"}).stdout.splitlines()
        tail.kill()

    assert head.split()[:6] == ["connection", "kind", "who", "pid", "since", "filter"]
    assert row.split()[0] == found[0]["connection_id"]
    assert row.split()[3] == str(tail.pid)
    assert "type=COMMIT" in row
    gone = daemon.run("connections", "close", "nobody")
    assert gone.returncode == 1
    assert len(gone.stderr.splitlines()) == 1


def test_statistics_come_as_a_table_or_as_json(daemon: Daemon) -> None:
    daemon.run("publish", "risk", "x")

    found = json.loads(daemon.run("stats", "--once", "--json").stdout)
    table = daemon.run("stats", "--once").stdout

    assert found["events"]["published"] == 1
    assert re.search(r"^events +1 stored, ", table, re.MULTILINE)
    assert re.search(r"^types +RISK_ALERT 1", table, re.MULTILINE)
    assert re.search(r"^log +entries 1 to 1, ", table, re.MULTILINE)


def test_statistics_go_on_as_one_object_a_line(shared_daemon: Daemon) -> None:
    with shared_daemon.popen("stats", "--json", "--interval", "0.1") as process:
        assert process.stdout
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.kill()

    assert lines[1]["uptime"] > lines[0]["uptime"]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_page_is_there(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    code, out, err = said_by(capsys, "docs", topic)

    assert (code, err) == (0, "")
    assert out.startswith("# ")
    assert len(out) > 500


def test_the_pages_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said_by(capsys, "docs")

    assert [line.split()[0] for line in out.splitlines()] == list(TOPICS)


def test_the_configuration_is_shown_checked_and_explained(stopped_daemon: Daemon) -> None:
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    none = stopped_daemon.run("config", "check").stdout
    file.parent.mkdir()
    file.write_text("max_queue_size: 7\n")

    assert none == f"{file} is not there: every setting has its default\n"
    assert stopped_daemon.run("config", "check").stdout == f"{file} is fine\n"
    assert "max_queue_size: 7\n" in stopped_daemon.run("config", "show").stdout
    assert stopped_daemon.run("config", "default").stdout == default_yaml()
    other = stopped_daemon.run("config", "check", "--config", "nothing.yaml")
    assert (other.returncode, other.stderr) == (2, "rtevents: nothing.yaml: no such file\n")


def test_every_mistake_of_the_configuration_is_told(stopped_daemon: Daemon) -> None:
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir()
    file.write_text(
        "tls: {cert: a}\n"
        "queue_timeout: soon\n"
        "colour: red\n"
        "files: {settle_ms: soon, no_such: 1}\n"
        "event_types: [COMMIT, DEPLOY, RISK_ALERT]\n"
        "sinks:\n"
        "  - {name: a b, command: {run: [a]}}\n"
        "  - {name: good, command: {run: [a]}}\n"
        "  - {name: c, webhook: {url: x}}\n"
        "  - {name: good, command: {runs: [a]}}\n"
        "projects:\n"
        "  - {path: /, id: 'a:b'}\n"
    )

    done = stopped_daemon.run("config", "check")
    assert (done.returncode, done.stdout) == (2, "")
    told = [
        line.removeprefix(f"rtevents: {file}:").split(": ")[:2] for line in done.stderr.splitlines()
    ]
    assert told == [
        ["1", "tls"], ["2", "queue_timeout"], ["3", "colour"], ["4", "files.settle_ms"],
        ["4", "files.no_such"], ["5", "event_types[0]"], ["5", "event_types[2]"],
        ["7", "sinks[0].name"], ["9", "sinks[2].webhook.url"], ["10", "sinks[3].command.runs"],
        ["12", "projects[0].id"],
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "is_all"), [(MOST, True), (MOST + 1, False), (400, False)])
def test_more_mistakes_than_are_told_are_told_of(
    stopped_daemon: Daemon, count: int, is_all: bool
) -> None:
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir()
    file.write_text("".join(f"colour{number}: red\n" for number in range(count)))

    done = stopped_daemon.run("config", "check")
    assert (done.returncode, done.stdout) == (2, "")
    told = done.stderr.splitlines()
    assert sum(": unknown setting" in line for line in told) == MOST
    last = f"rtevents: and more than these {MOST}: mend them, and check again"
    assert (told[-1] == last, len(told)) == (not is_all, MOST + (not is_all))


def test_the_defaults_are_written_to_a_file_that_is_new(stopped_daemon: Daemon) -> None:
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    other = stopped_daemon.home / "a" / "b.yaml"

    first = stopped_daemon.run("config", "default", "--write")
    elsewhere = stopped_daemon.run("config", "default", "--write", "--config", str(other))
    file.write_text("listen: none\n")
    again = stopped_daemon.run("config", "default", "--write")

    assert (first.returncode, first.stdout) == (0, f"written: {file}\n")
    assert (elsewhere.returncode, other.read_text()) == (0, default_yaml())
    assert (other.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == (
        f"rtevents: {file} is there already; compare: rtevents config default\n"
    )
    assert file.read_text() == "listen: none\n"
    assert stopped_daemon.run("config", "default", "--config", "x").returncode == 2


def test_what_serve_would_refuse_or_ignore_the_check_finds(stopped_daemon: Daemon) -> None:
    file = stopped_daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir()
    file.write_text("event_types: [COMMIT]\n")
    refused = f"rtevents: {file}:1: event_types[0]: COMMIT is a built-in type already\n"

    for words in (["config", "check"], ["serve", "--no-project"], ["serve", "--detach"]):
        done = stopped_daemon.run(*words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.endswith(refused)

    file.write_text("projects:\n  - path: /no/such\n")
    warned = stopped_daemon.run("config", "check", env={"RTEVENTS_STOER": "memory"})
    assert (warned.returncode, warned.stdout) == (0, f"{file} can be used, but see the warnings\n")
    assert warned.stderr.splitlines() == [
        "rtevents: RTEVENTS_STOER has no effect: there is no such setting, "
        "did you mean RTEVENTS_STORE?",
        f"rtevents: {file}:2: projects[0].path: not there, watched as soon as it is: /no/such",
    ]


def test_the_hook_is_installed_seen_and_removed(stopped_daemon: Daemon) -> None:
    root = stopped_daemon.repository()
    file = root / ".git" / "hooks" / "post-commit"
    file.parent.mkdir(exist_ok=True)
    file.write_text("#!/bin/sh\necho mine\n")
    before = file.read_bytes()

    codes = [
        stopped_daemon.run("hook", *words, "-C", str(root)).returncode
        for words in (
            ["status"],
            ["install", "--way", "file"],
            ["install", "--way", "file"],
            ["status"],
        )
    ]
    installed = file.read_bytes()
    removed = stopped_daemon.run("hook", "uninstall", cwd=root)

    assert codes == [1, 0, 0, 0]
    assert installed != before
    again = stopped_daemon.run("hook", "uninstall", cwd=root)
    assert (removed.returncode, removed.stdout) == (0, f"removed: {file}\n")
    assert (again.returncode, again.stdout) == (0, f"not installed: {file}\n")
    assert file.read_bytes() == before


def test_the_status_of_a_hook_tells_who_reads_it_and_what_to_do(stopped_daemon: Daemon) -> None:
    daemon, root = stopped_daemon, stopped_daemon.repository()

    def status() -> str:
        return daemon.run("hook", "status", cwd=root).stdout.split("\n", 1)[1]

    assert daemon.run("hook", "install", "--way", "file", cwd=root).returncode == 0
    assert status() == "  no daemon answers: rtevents serve\n"
    daemon.start()
    assert status() == (
        "  this repository is no project of the daemon; of its commits it knows what the hook "
        "tells: rtevents project add .\n"
    )
    assert daemon.run("project", "add", ".", cwd=root).returncode == 0
    assert status() == "  a daemon watches this repository\n"
    daemon.stop()
    daemon.git("commit", "-q", "--allow-empty", "-m", "Noted", cwd=root)
    assert status() == "  no daemon answers; commits that wait for it: 1: rtevents serve\n"
    (root / ".git" / "hooks" / "post-commit").chmod(0o644)
    told = daemon.run("hook", "status", "--json", cwd=root)
    found = json.loads(told.stdout)
    assert told.returncode == 1
    assert (found["ways"], found["notes"], found["is_watched"]) == (["file"], 1, True)
    assert found["is_daemon_up"] is False
    assert found["problems"][0]["remedy"] == f"chmod +x {root}/.git/hooks/post-commit"


def test_where_there_is_no_repository_there_is_no_hook(stopped_daemon: Daemon) -> None:
    done = stopped_daemon.run("hook", "install")

    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["history"], ["tail"], ["stats", "--once"], ["connections"], ["types"], ["token", "list"],
        ["dashboard", "--print"], ["project", "list"], ["status"], ["publish", "risk", "x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_that_needs_a_daemon_exits_with_3_without_one(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RTEVENTS_URL", raising=False)

    code, out, err = said_by(capsys, *words)

    assert (code, out) == (3, "")
    socket = tmp_path / "rtevents" / "rtevents.sock"
    assert err == f"rtevents: no daemon at {socket}: start one with: rtevents serve\n"
