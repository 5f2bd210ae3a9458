"""The configuration: files, environment, errors, and the file that is shipped."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import astuple

from rtevents.config.load import load
from rtevents.config.load import read as load_whole
from rtevents.config.paths import Paths, find_paths, find_target
from rtevents.config.render import default_yaml, to_yaml
from rtevents.config.settings import Config, TypeSettings, parse_listen
from rtevents.errors import ConfigError

ROOT = Path(__file__).parent.parent

STORE = (
    "expected sqlite, memory or redis://host:port/db; rediss:// asks by TLS, and there are "
    "redis+unix:///path, redis+sentinel:// and redis+cluster:// (rtevents docs redis)"
)
"""What is said of what is no store."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Return paths whose configuration is not there yet."""
    return Paths(tmp_path / "run", tmp_path / "state", tmp_path / "config.yaml")


def read(paths: Paths, text: str, **environ: str) -> Config:
    """Write a configuration and load it."""
    paths.config.write_text(text)
    paths.config.chmod(0o600)
    return load(paths, environ)


def refused(paths: Paths, text: str, **environ: str) -> str:
    """Return what is said of a configuration, without the folder."""
    with pytest.raises(ConfigError) as caught:
        read(paths, text, **environ)
    return str(caught.value).replace(f"{paths.config.parent}/", "")


def test_the_shipped_file_is_every_setting_with_its_default() -> None:
    assert (ROOT / "config" / "rtevents.yaml").read_text() == default_yaml()


def test_every_meaning_is_told_to_its_end() -> None:
    """What a setting means may take several lines of its struct's docstring."""
    told = re.sub(r"\n *# ", " ", default_yaml())
    structs: list[type[msgspec.Struct]] = [Config]
    structs += [type(part) for part in astuple(Config()) if isinstance(part, msgspec.Struct)]
    for struct in structs:
        meant = inspect.cleandoc(struct.__doc__ or "").partition("Args:\n")[2]
        found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", meant, re.MULTILINE)
        assert [name for name, _ in found] == list(struct.__struct_fields__)
        for name, words in found:
            assert re.search(rf" {re.escape(' '.join(words.split()))}\n *{name}:", told), name


def test_names_that_yaml_takes_for_something_else_are_names(paths: Paths) -> None:
    config = read(paths, "sinks: [{name: a, command: {run: [x], env: {ON: a, 1: b, null: c}}}]\n")

    assert config.sinks[0].command is not None
    assert config.sinks[0].command.env == {"ON": "a", "1": "b", "null": "c"}


def test_the_shipped_file_loads_as_the_defaults(paths: Paths) -> None:
    assert read(paths, default_yaml()) == Config()


def test_what_is_in_force_loads_as_itself(paths: Paths) -> None:
    config = read(paths, "listen: none\nprojects: [{path: /x, id: web}]\nevent_types: [DEPLOY]")

    assert read(paths, to_yaml(config)) == config


def test_no_file_means_the_defaults(paths: Paths) -> None:
    assert load(paths, {}) == Config()


def test_an_empty_file_means_the_defaults(paths: Paths) -> None:
    assert read(paths, "# nothing here\n") == Config()


def test_a_file_sets_what_it_names(paths: Paths) -> None:
    config = read(
        paths,
        "max_queue_size: 7\nretention: {max_age: 60}\n"
        "event_types: [DEPLOY, {name: RELEASE, schema: {required: [version]}}]\n"
        "projects: [{path: ~/src/web, id: web, ignore: [dist/]}]\n",
    )

    assert config.max_queue_size == 7
    assert (config.retention.max_age, config.retention.max_events) == (60, 1_000_000)
    assert config.event_types[1] == TypeSettings(name="RELEASE", schema={"required": ["version"]})
    assert config.projects[0].ignore == ["dist/"]


def test_a_variable_comes_before_the_file(paths: Paths) -> None:
    config = read(
        paths,
        "listen: none\nretention: {max_events: 5}",
        RTEVENTS_LISTEN="127.0.0.1:1",
        RTEVENTS_RETENTION__MAX_AGE="60",
        RTEVENTS_URL="http://not.a.setting",
        HOME="/home/ada",
    )

    assert config.listen == "127.0.0.1:1"
    assert (config.retention.max_events, config.retention.max_age) == (5, 60)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen: none\nmax_queu_size: 5\n",
         "config.yaml:2: max_queu_size: unknown setting, did you mean max_queue_size?"),
        ("xyzzy: 1\n", "config.yaml:1: xyzzy: unknown setting"),
        ("\n\nmax_queue_size: many\n", "config.yaml:3: max_queue_size: expected int, got str"),
        ("max_queue_size: 0\n", "config.yaml:1: max_queue_size: expected int >= 1"),
        ("retention:\n  max_age: -1\n",
         "config.yaml:2: retention.max_age: expected float >= 0.0"),
        ("projects:\n  - path: /a\n  - id: b\n",
         "config.yaml:3: projects[1].path: missing setting"),
        ("durability: maybe\n", "config.yaml:1: durability: expected full or normal, got 'maybe'"),
        ("on_engine_loss: drop\n",
         "config.yaml:1: on_engine_loss: expected refuse or spool, got 'drop'"),
        ("sinks:\n- name: a\n  on_busy: wait\n",
         "config.yaml:3: sinks[0].on_busy: expected drop, queue or restart, got 'wait'"),
        ("sinks: [{name: a, webhook: {url: x, format: xml}}]\n",
         "config.yaml:1: sinks[0].webhook.format: expected cloudevents or json, got 'xml'"),
        ("risks:\n  rate: bad\n",
         "config.yaml:2: risks.rate: expected critical, high, low, medium or none, got 'bad'"),
        ("logs: [{name: w, project: [a]}]\n",
         "config.yaml:1: logs[0].project: unknown setting, did you mean projects?"),
        ("listen: none\non: []\n", "config.yaml:2: on: unknown setting"),
        ("event_loop: uvlop\n",
         "config.yaml:1: event_loop: expected asyncio, auto or uvloop, got 'uvlop'"),
        ('node: "a b/c"\n',
         "config.yaml:1: node: expected at most 64 of A-Z a-z 0-9 . _ -, got 'a b/c'"),
        ("risks: {rules: [{name: '1', message: x}]}\n",
         "config.yaml:1: risks.rules[0].name: expected a letter and up to 47 of A-Z a-z 0-9 _ -"),
        ("logs: [{name: w, projects: ['a[']}]\n",
         "config.yaml:1: logs[0].projects: 'a[' has a [ without its ]: write [[] for the character "
         "itself"),
        ("logs:\n- {name: a, projects: [x, web]}\n- {name: b, projects: [web]}\n",
         "config.yaml:3: logs[1].projects: 'web' is of the log 'a' which comes before: take it out "
         "of one of them, or put the one that is to have it first"),
        ("logs:\n- {name: a, projects: ['*']}\n- {name: b, projects: ['w*']}\n",
         "config.yaml:3: logs[1].projects: 'w*' is of the log 'a', by '*', which comes before: "
         "take it out of one of them, or put the one that is to have it first"),
        ("logs:\n- {name: a, projects: ['web-*']}\n- {name: b, projects: [web-x]}\n",
         "config.yaml:3: logs[1].projects: 'web-x' is of the log 'a', by 'web-*', which comes "
         "before: take it out of one of them, or put the one that is to have it first"),
        ("listen: none\nlisten: none\n", "config.yaml:2: listen is set twice"),
        ("files: &a {settle_ms: 5}\ngit: *a\n", "config.yaml:1: aliases are not allowed here"),
        ("listen: [\n", "config.yaml:2: expected the node content, but found '<stream end>'"),
        ("- a\n- b\n", "config.yaml:1: expected settings as `name: value`"),
        ("a: !!python/object:os.system x\n",
         "config.yaml:1: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/object:os.system'"),
        ("listen: 0.0.0.0:80\n",
         "config.yaml:1: listen: '0.0.0.0' is not a loopback address: beyond this "
         "machine set tls as well, or expected 127.0.0.1 or [::1]"),
        ("tls: {cert: /c.pem}", "config.yaml:1: tls: expected cert and key, tls.key is missing"),
        ("\nlisten: 127.0.0.1:99999\n",
         "config.yaml:2: listen: expected HOST:PORT or none, got '127.0.0.1:99999'"),
        ("listen: here\n", "config.yaml:1: listen: expected HOST:PORT or none, got 'here'"),
        ("logs: [{name: Web, projects: [x]}]\n",
         "config.yaml:1: logs[0].name: expected 1 to 48 of a-z 0-9 . _ -, got 'Web'"),
        ("logs: [{name: main, projects: [x]}]\n",
         "config.yaml:1: logs[0].name: 'main' is the name of another log"),
        ("logs: [{name: web, projects: []}]\n",
         "config.yaml:1: logs[0].projects: expected the id of a project, or a pattern"),
        ("logs:\n  - {name: a, projects: [a]}\n  - {name: b, projects: [b], store: x}\n",
         f"config.yaml:3: logs[1].store: {STORE}"),
        ("store: mongodb\n", f"config.yaml:1: store: {STORE}"),
        ("sinks:\n  - {name: a, command: make}\n",
         "config.yaml:2: sinks[0].command: expected a mapping, got str"),
        ("sinks:\n  - name: a\n    command: {run: make test}\n",
         "config.yaml:3: sinks[0].command.run: expected a list, as [a, b], got str"),
        ("cleanup_timeout: 20\n",
         "config.yaml:1: cleanup_timeout: expected more than heartbeat_interval"),
        ("heartbeat_interval: 300\n",
         "config.yaml:1: heartbeat_interval: expected less than cleanup_timeout"),
        ('projects:\n  - {path: "/a\\0b"}\n', "config.yaml:2: a null character is in no setting"),
        ("#" * 300_000, "config.yaml: more than 262144 bytes"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(paths: Paths, text: str, said: str) -> None:
    assert refused(paths, text) == said


def test_a_mistake_in_a_variable_names_the_variable(paths: Paths) -> None:
    assert (
        refused(paths, "", RTEVENTS_MAX_QUEUE_SIZE="many")
        == "RTEVENTS_MAX_QUEUE_SIZE: max_queue_size: expected int, got str"
    )
    assert refused(paths, "", RTEVENTS_LISTEN="[") == "RTEVENTS_LISTEN: not a value: '['"
    assert refused(paths, "", RTEVENTS_LISTEN__PORT="1") == "RTEVENTS_LISTEN__PORT: no such setting"


def test_a_mistake_of_another_kind_in_a_variable_names_it_too(paths: Paths) -> None:
    said = refused(paths, "store: sqlite\n", RTEVENTS_STORE="foo")

    assert said == f"RTEVENTS_STORE: store: {STORE}"


def test_a_variable_that_is_no_setting_is_a_warning(paths: Paths) -> None:
    environ = {
        "RTEVENTS_LISTN": "none", "RTEVENTS_XYZZY": "1", "RTEVENTS_PROJECTS": "[]",
        "RTEVENTS_URL": "x", "RTEVENTS_TOKEN": "x", "RTEVENTS": "0", "RTEVENTS_STORE": "memory",
    }  # fmt: skip

    assert load_whole(paths, environ).warnings == [
        "RTEVENTS_LISTN has no effect: there is no such setting, did you mean RTEVENTS_LISTEN?",
        "RTEVENTS_PROJECTS has no effect: projects belong into the file",
        "RTEVENTS_XYZZY has no effect: there is no such setting",
    ]


def test_a_file_that_others_can_write_is_not_read(paths: Paths) -> None:
    paths.config.write_text("listen: none\n")
    paths.config.chmod(0o666)
    with pytest.raises(ConfigError, match="others can write it"):
        load(paths, {})


def test_a_file_that_is_not_text_is_refused(paths: Paths) -> None:
    paths.config.write_bytes(b"listen: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 8"):
        load(paths, {})


def test_a_folder_is_no_file(paths: Paths) -> None:
    paths.config.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load(paths, {})


def test_a_file_that_was_named_must_be_there(paths: Paths) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(paths, {"RTEVENTS_CONFIG": str(paths.config)})
    with pytest.raises(ConfigError, match="no such file"):
        load(paths, {}, named=True)


def test_an_empty_variable_names_no_file(paths: Paths) -> None:
    assert load(paths, {"RTEVENTS_CONFIG": ""}) == Config()


@pytest.mark.parametrize("runtime", ["", "relative"])
def test_a_runtime_folder_that_is_none_is_ignored(runtime: str) -> None:
    found = find_paths({"XDG_RUNTIME_DIR": runtime, "XDG_STATE_HOME": "/s"})

    assert found.run == Path("/s/rtevents/run")


def test_the_files_are_where_the_xdg_variables_say() -> None:
    found = find_paths(
        {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"}
    )

    assert str(found.socket) == "/run/user/7/rtevents/rtevents.sock"
    assert str(found.lock) == "/run/user/7/rtevents/rtevents.lock"
    assert str(found.database) == "/s/rtevents/events.db"
    assert str(found.config) == "/c/rtevents/config.yaml"


def test_without_a_runtime_folder_the_socket_is_in_the_state_folder() -> None:
    found = find_paths({"XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "relative"})

    assert str(found.socket) == "/s/rtevents/run/rtevents.sock"
    assert found.config.is_absolute()


def test_the_configuration_can_be_named() -> None:
    environ = {"RTEVENTS_CONFIG": "/etc/rte.yaml", "XDG_STATE_HOME": "/s"}

    assert str(find_paths(environ).config) == "/etc/rte.yaml"
    assert str(find_paths(environ, config="mine.yaml").config) == "mine.yaml"


def test_a_client_talks_to_the_named_daemon_or_to_the_users_own() -> None:
    own = find_target({"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s"})
    named = find_target({"RTEVENTS_URL": "http://127.0.0.1:1", "RTEVENTS_TOKEN": "rte_x"})

    assert (own.address, own.token) == ("/run/user/7/rtevents/rtevents.sock", None)
    assert (named.address, named.token) == ("http://127.0.0.1:1", "rte_x")


def test_an_address_is_a_host_and_a_port() -> None:
    assert parse_listen("none") is None
    assert parse_listen("localhost:80") == ("localhost", 80)
    assert parse_listen("[::1]:80") == ("::1", 80)
    for wrong in ("127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:²"):
        with pytest.raises(ConfigError):
            parse_listen(wrong)


def test_reading_the_environment_by_default() -> None:
    assert find_paths() == find_paths(os.environ)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ada:s3/cret@h/0",
        "redis://ada:s3?cret@h/0",
        "redis://ada:s3#cret@h/0",
        "redis://ada:s3@cret@h/0",
        "redis://ada:[s3]cret@h/0",
        "redis://ada:s3\u2100cret@h/0",
        "redis://ada:s3 cret@h/0",
    ],
)
def test_a_password_that_would_be_taken_for_something_else_is_not_told(
    paths: Paths, url: str
) -> None:
    said = refused(paths, "", RTEVENTS_STORE=url)

    assert "write %2F for / and %40 for @" in said or said == "RTEVENTS_STORE: not a value"
    assert "cret" not in said


def test_what_is_in_force_is_shown_without_the_password_of_the_store() -> None:
    shown = to_yaml(Config(store="redis://ada:s3%2Fcret@h:1/0?log=x"))

    assert "store: redis://***@h:1/0?log=x\n" in shown
    assert "store: redis://h:1/0\n" in to_yaml(Config(store="redis://h:1/0"))


def test_a_variable_that_is_no_value_is_told_without_its_password(paths: Paths) -> None:
    said = refused(paths, "", RTEVENTS_STORE="redis://ada:s3cret@h/0: [")

    assert said == "RTEVENTS_STORE: not a value"
