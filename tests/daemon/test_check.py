"""What the daemon would refuse of a configuration, by file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtevents.config.load import read
from rtevents.config.paths import Paths
from rtevents.daemon.check import check
from rtevents.errors import ConfigError


def checked(folder: Path, text: str) -> list[str]:
    """Return the warnings of a configuration, without the folder."""
    paths = Paths(folder / "run", folder / "state", folder / "config.yaml")
    paths.config.write_text(text)
    paths.config.chmod(0o600)
    try:
        return [each.replace(f"{folder}/", "") for each in check(read(paths, {}))]
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{folder}/", "")) from error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("event_types: [COMMIT]", "1: event_types[0]: COMMIT is a built-in type already"),
        ("event_types:\n  - OK\n  - bad name\n",
         "3: event_types[1]: expected a letter and up to 63 of A-Z 0-9 _, got 'BAD NAME'"),
        ("event_types: [deploy, {name: DEPLOY}]", "1: event_types[1]: DEPLOY is there twice"),
        ("event_types:\n- name: A\n  schema: {type: 5}\n",
         "3: event_types[0].schema: not a JSON Schema: Unknown type"),
        ("projects:\n- {path: /, id: web}\n- path: /tmp\n  id: web\n",
         "4: projects[1].id: 'web' is taken by projects[0]"),
        ("projects:\n- {path: /a/web}\n- {path: /b/web}\n",
         "3: projects[1].id: 'web' is taken by projects[0]"),
        ("projects: [{path: /, id: 'a:b'}]",
         "1: projects[0].id: expected 1 to 48 printable characters without ':', got 'a:b'"),
    ],
)  # fmt: skip
def test_what_the_daemon_would_refuse_is_told_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, text)

    assert str(caught.value) == f"config.yaml:{said}"


@pytest.mark.parametrize(
    ("main", "other", "is_one"),
    [
        ("redis://h", "redis://h", True),
        ("redis://127.0.0.1:6379/0?log=a", "redis://127.0.0.1/0?log=a", True),
        ("redis://127.0.0.1?log=a", "redis://u:p@LOCALHOST:6379/?log=a&replicas=1", True),
        ("redis://localhost", "rediss://[::1]", True),
        ("redis://127.0.0.1", "redis://[::ffff:127.0.0.1]", True),
        ("redis://redis.example.org.", "redis://Redis.example.org", True),
        ("redis+unix:///run/redis.sock", "redis+unix:///run/../run/redis.sock?db=0", True),
        ("redis+sentinel://a,b/team", "redis+sentinel://b:26379,c/team/0", True),
        ("redis+cluster://a,b", "redis+cluster://b:6379", True),
        ("redis://127.0.0.1", "redis://127.0.0.1/1", False),
        ("redis://127.0.0.1", "redis://127.0.0.1:6380", False),
        ("redis://127.0.0.1", "redis://127.0.0.2", False),
        ("redis://127.0.0.1?log=a", "redis://127.0.0.1?log=b", False),
        ("redis+unix:///run/a.sock", "redis+unix:///run/b.sock", False),
        ("redis+sentinel://a,b/team", "redis+sentinel://a,b/other", False),
        ("redis+cluster://a", "redis+cluster://b", False),
        ("sqlite", "sqlite", False),
        ("memory", "memory", False),
    ],
)
def test_two_logs_in_one_place_are_refused_however_that_is_written(
    tmp_path: Path, main: str, other: str, is_one: bool
) -> None:
    text = f"store: {main}\nlogs:\n  - {{name: a, projects: [a], store: '{other}'}}\n"
    # Two further logs are compared with each other too.
    further = (
        f"logs:\n  - {{name: b, projects: [b], store: '{main}'}}\n"
        f"  - {{name: a, projects: [a], store: '{other}'}}\n"
    )
    if not is_one:
        assert checked(tmp_path, text) == checked(tmp_path, further) == []
        return
    for given, key, there in ((text, "logs[0]", "main"), (further, "logs[1]", "b")):
        with pytest.raises(ConfigError) as caught:
            checked(tmp_path, given)
        assert str(caught.value) == (
            f"config.yaml:3: {key}.store: the log {there!r} is there: give this one another "
            "?log=NAME"
        )


def test_what_is_no_url_of_redis_is_told_with_its_place_and_without_its_password(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, "logs:\n- name: a\n  projects: [a]\n  store: redis://u:geheim@h/x\n")
    assert str(caught.value) == ("config.yaml:4: logs[0].store: the database is a number, got 'x'")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h/0?log=t&log=u", "log is there twice"),
        ("redis+unix://tmp/x.sock",
         "'tmp' is a host, and a socket has none: write three slashes, redis+unix:///tmp/x.sock"),
        ("redis+sentinel://h:26379/0",
         "the master's name comes before the database: write /NAME/0, or /0/0 where the sentinels "
         "call it 0"),
    ],
)  # fmt: skip
def test_what_a_url_probably_does_not_mean_is_told(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, f"node: a\nstore: {url}\n")

    assert str(caught.value) == f"config.yaml:2: store: {said}"
    assert checked(tmp_path, "store: redis+sentinel://h/0/0\n") == []


def test_what_is_not_installed_is_told_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ConfigError) as redis:
        checked(tmp_path, "logs:\n- {name: t, projects: [t], store: redis://h}\n")
    with pytest.raises(ConfigError) as uvloop:
        checked(tmp_path, "event_loop: uvloop\n")

    assert str(redis.value) == (
        "config.yaml:2: logs[0].store: needs the extra `redis`: pip install 'rtevents[redis]'"
    )
    assert str(uvloop.value) == (
        "config.yaml:1: event_loop: uvloop is not installed: pip install 'rtevents[fast]', or "
        "write auto"
    )
    assert checked(tmp_path, "event_loop: auto\n") == []


def test_a_sink_that_would_find_no_log_or_several_is_a_warning(tmp_path: Path) -> None:
    file = "file: {path: /tmp/x}"
    warnings = checked(
        tmp_path,
        "logs: [{name: team, projects: [team]}, {name: web, projects: [web]}]\nsinks:\n"
        f"- {{name: a, log: nope, {file}}}\n- {{name: b, {file}}}\n"
        f"- {{name: c, log: team, project: web, {file}}}\n"
        f"- {{name: d, log: team, {file}}}\n- {{name: e, project: web, {file}}}\n",
    )

    assert warnings == [
        "config.yaml:3: sinks[0].log: there is no 'nope', expected main or team or web",
        "config.yaml:4: sinks[1].project: this is in several logs (main, team, web), and is read "
        "from one: name one, as `log: main`, or its projects",
        "config.yaml:5: sinks[2].log: 'team' has nothing new of these projects, they are "
        "in web: name that, or leave the log out",
    ]


@pytest.mark.parametrize("keys", ["/no/such", "~nobody-here/x"])
def test_keys_that_are_not_there_are_told_with_their_place(tmp_path: Path, keys: str) -> None:
    pytest.importorskip("joserfc", reason="joserfc is not installed")
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, f"\nissuers: [{{issuer: a, audience: b, keys: {keys}}}]")

    assert str(caught.value) == f"config.yaml:2: issuers: keys of a: {keys}: no such file"


def test_a_project_that_cannot_be_watched_now_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = f"projects:\n- path: /no/such\n- path: {tmp_path}/file\n- path: ~nobody-here/x\n"

    assert checked(tmp_path, text + f"- path: {tmp_path}\n") == [
        "config.yaml:2: projects[0].path: not there, watched as soon as it is: /no/such",
        "config.yaml:3: projects[1].path: not a folder, watched as soon as it is: file",
        "config.yaml:4: projects[2].path: not from / or ~, so it depends on where the daemon is "
        "started: ~nobody-here/x",
    ]
