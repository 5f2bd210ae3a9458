"""Tokens of an identity provider: what is not signed as the configuration says lets nobody in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.conftest import PATIENCE, Daemon

from .attacker import LOOPBACK, Caller, caller
from .test_audit import told

pytest.importorskip("joserfc", reason="joserfc is not installed")

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, RSAKey

ISSUER = "https://id.example"
KEY = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "k1"}, private=True)


def text(value: bytes) -> str:
    """Return bytes as a segment of a token."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    """Return good claims, with these changed; None takes one out."""
    good = {"iss": ISSUER, "sub": "ada", "aud": "rtevents", "exp": int(time.time()) + 600}
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(payload: dict[str, Any] | None = None, *, key: Any = KEY, **header: Any) -> str:
    """Return a token."""
    fields = {"alg": "RS256", "kid": "k1", "typ": "JWT"} | header
    raw = json.dumps(claims() if payload is None else payload).encode()
    registry = jws.JWSRegistry(strict_check_header=False, algorithms=[fields["alg"]])
    return str(jws.serialize_compact(fields, raw, key, registry=registry))


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes) -> str:
    """Return a token that says of itself what it likes."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(map(text, parts))


def provide(daemon: Daemon) -> None:
    """Have a daemon take tokens of an issuer: administrators of the project `a`."""
    keys = daemon.home / "jwks.json"
    keys.write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    write_config(daemon, keys)


@pytest.fixture
def provided(stopped_daemon: Daemon) -> Daemon:
    """Return a daemon that takes tokens of an issuer."""
    provide(stopped_daemon)
    stopped_daemon.start()
    return stopped_daemon


@pytest.fixture(scope="module")
def shared_provided(shared_daemon: Daemon) -> Daemon:
    """Return one that others use too, and that is not configured anew."""
    provide(shared_daemon)
    assert shared_daemon.run("reload").returncode == 0
    return shared_daemon


def write_config(
    daemon: Daemon, keys: Path, algorithms: str = "[RS256]", issuers: Sequence[str] = (ISSUER,)
) -> None:
    """Name the issuers in the configuration."""
    folder = daemon.home / "config" / "rtevents"
    folder.mkdir(exist_ok=True)
    named = [
        f"{{issuer: {issuer}, audience: rtevents, keys: {keys}, "
        f"algorithms: {algorithms}, role: admin, projects: [a]}}"
        for issuer in issuers
    ]
    (folder / "config.yaml").write_text(f"issuers: [{', '.join(named)}]\n")


def status(daemon: Daemon, secret: str, source: str = LOOPBACK) -> int:
    """Return how somebody is answered who shows a token."""
    return Caller(daemon, secret, source=source).get("/v1/events").status


def test_a_signed_token_gives_what_its_issuer_may(shared_provided: Daemon) -> None:
    """S21: its subject is the principal, its time the grant's, its claim narrows the grant."""
    good = claims()
    mine = Caller(shared_provided, signed(good))
    viewer = Caller(
        shared_provided, signed(claims(rtevents={"role": "viewer", "types": ["COMMIT"]}))
    )

    told_of_me = mine.get("/v1/tokens/self").json
    of_viewer = viewer.get("/v1/tokens/self").json

    assert re.fullmatch(r"jwt:ada#[0-9a-f]{16}", told_of_me["principal"])
    assert told_of_me["role"] == "admin"
    assert (told_of_me["projects"], told_of_me["expires"]) == (["a"], good["exp"])
    assert (of_viewer["role"], of_viewer["types"]) == ("viewer", ["COMMIT"])
    assert mine.get("/v1/stats").status == 200
    assert viewer.get("/v1/stats").status == 403
    assert mine.get("/v1/events?project=b").status == 403
    assert status(shared_provided, by_hand({"alg": "RS256", "kid": "k1"})) == 200
    name = told_of_me["principal"]
    assert told(shared_provided, principal=name, action="GET /v1/stats", decision="allowed")


BAD: dict[str, Callable[[], str]] = {
    "alg none": lambda: forged({"alg": "none"}, claims(), b"x"),
    "alg None": lambda: forged({"alg": "None", "kid": "k1"}, claims(), b"x"),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "HS with the public key": lambda: with_public_key(KEY.as_pem(private=False)),
    "HS with the public key as JSON": lambda: with_public_key(
        json.dumps(KEY.as_dict(private=False)).encode()
    ),
    "another key": lambda: signed(key=OTHER),
    "another algorithm": lambda: signed(alg="RS512"),
    "another family": lambda: signed(alg="PS256"),
    "crit": lambda: by_hand({"alg": "RS256", "kid": "k1", "crit": ["bork"], "bork": 1}),
    "by hand, without crit": lambda: by_hand({"alg": "RS256", "kid": "k1", "more": 1}),
    "crit of nothing known": lambda: signed(crit=["b64"], b64=True),
    "jku": lambda: signed(jku="http://evil.test/jwks.json"),
    "x5u": lambda: signed(x5u="http://evil.test/x.pem"),
    "jwk": lambda: signed(key=OTHER, jwk=OTHER.as_dict(private=False)),
    "another kid": lambda: signed(kid="../../etc/passwd"),
    "expired": lambda: signed(claims(exp=int(time.time()) - 1)),
    "never expires": lambda: signed(claims(exp=None)),
    "expires in words": lambda: signed(claims(exp="never")),
    "not yet": lambda: signed(claims(nbf=int(time.time()) + 600)),
    "another audience": lambda: signed(claims(aud="other")),
    "other audiences": lambda: signed(claims(aud=["rtevents2", "x"])),
    "no audience": lambda: signed(claims(aud=None)),
    "another issuer": lambda: signed(claims(iss="https://evil.test")),
    "no issuer": lambda: signed(claims(iss=None)),
    "no subject": lambda: signed(claims(sub=None)),
    "an empty subject": lambda: signed(claims(sub="")),
    "10 kB": lambda: signed(claims(filler="x" * 6000)),
    "more than its issuer's role": lambda: signed(claims(rtevents={"role": "owner"})),
    "a role that is none": lambda: signed(claims(rtevents={"role": "browser"})),
    "another project": lambda: signed(claims(rtevents={"projects": ["b"]})),
    "no project at all": lambda: signed(claims(rtevents={"projects": []})),
    "no type at all": lambda: signed(claims(rtevents={"types": []})),
    "projects that are null": lambda: signed(claims(rtevents={"projects": None})),
    "a misspelt limit": lambda: signed(claims(rtevents={"project": ["a"]})),
    "a limit that is no list": lambda: signed(claims(rtevents={"types": "COMMIT"})),
    "an empty role": lambda: signed(claims(rtevents={"role": ""})),
    "limits that are no object": lambda: signed(claims(rtevents=["a"])),
    "another payload": lambda: swapped(),
    "not base64": lambda: "a.b!.c",
    "no JSON": lambda: f"{text(b'[')}.{text(b'{}')}.{text(b'x')}",
    "deep": lambda: f"{text(b'[' * 3000)}.{text(b'[' * 3000)}.{text(b'x')}",
    "encrypted": lambda: ".".join([text(b'{"alg":"dir","enc":"A128GCM"}'), "", "AA", "AA", "AA"]),
}


def with_public_key(public: bytes) -> str:
    """Return a token signed with what everybody knows."""
    unsigned = forged({"alg": "HS256", "kid": "k1", "typ": "JWT"}, claims(), b"").rstrip(".")
    return f"{unsigned}.{text(hmac.digest(public, unsigned.encode(), hashlib.sha256))}"


def by_hand(header: dict[str, Any]) -> str:
    """Return a token of any header whose signature is right."""
    unsigned = forged(header, claims(), b"").rstrip(".")
    signature = KEY.get_op_key("sign").sign(unsigned.encode(), PKCS1v15(), SHA256())
    return f"{unsigned}.{text(signature)}"


def swapped() -> str:
    """Return a token whose payload is not what was signed."""
    head, _, signature = signed().split(".")
    return f"{head}.{text(json.dumps(claims(sub='root')).encode())}.{signature}"


@pytest.mark.parametrize("how", BAD)
def test_what_is_not_signed_for_us_lets_nobody_in(shared_provided: Daemon, how: str) -> None:
    """S21: algorithm confusion, keys from the token itself, missing claims, sizes."""
    secret = BAD[how]()
    # Each from elsewhere: ten wrong ones within a minute from one address are too many.
    source = f"127.0.1.{1 + list(BAD).index(how)}"

    assert status(shared_provided, secret, source) in (400, 401)
    assert status(shared_provided, signed()) == 200
    assert secret not in shared_provided.log.read_text()


def test_the_same_subject_of_two_issuers_is_two_principals(provided: Daemon) -> None:
    """S21 S23: neither the audit log nor a limit takes one for the other, nor long names."""
    other = "https://other.example"
    write_config(provided, provided.home / "jwks.json", issuers=[ISSUER, other])
    assert provided.run("reload").returncode == 0
    said = [{}, {"iss": other}, {"sub": "ada?"}, {"sub": "ada\u00e9"}, {"sub": "x" * 100}]
    said.append({"sub": "x" * 101})

    names = [
        Caller(provided, signed(claims(**each))).get("/v1/tokens/self").json["principal"]
        for each in said
    ]

    assert len(set(names)) == len(names)
    assert names[0].startswith("jwt:ada#")
    assert names[1].startswith("jwt:ada#")
    assert max(map(len, names)) < 90


def test_a_token_that_ends_after_the_last_year_can_be_used_and_shown(
    shared_provided: Daemon,
) -> None:
    """S21: a time that no calendar can write breaks no stream and no command."""
    secret = signed(claims(exp=1e300))
    with Caller(shared_provided, secret).stream() as stream:
        hello = json.loads(stream.readline())
    shown = shared_provided.run("token", "check", stdin=secret)

    assert hello["control"] == "hello"
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"projects": []}, "the token grants nothing: `rtevents.projects` is empty"),
        ({"types": []}, "the token grants nothing: `rtevents.types` is empty"),
        ({"project": ["a"]}, "it takes role, projects and types"),
    ],
)
def test_a_limit_that_holds_nothing_is_told(
    shared_provided: Daemon, limits: dict[str, Any], said: str
) -> None:
    """S21: it is not taken for no limit."""
    answer = Caller(shared_provided, signed(claims(rtevents=limits))).get("/v1/events")

    assert answer.status == 401
    assert said in answer.detail


@pytest.mark.parametrize(
    ("keys", "algorithms", "said"),
    [
        ("rsa", "[none]", "expected some such as RS256"),
        ("rsa", "[]", "expected some such as RS256"),
        ("rsa", "[HS256]", "must hold keys of one kind"),
        ("rsa", "[RS256, HS256]", "must hold keys of one kind"),
        ("both", "[RS256]", "must hold keys of one kind"),
        ("garbage", "[RS256]", "keys of https://id.example"),
        ("missing", "[RS256]", "keys of https://id.example"),
    ],
)
def test_keys_and_algorithms_that_do_not_go_together_are_refused_at_the_start(
    stopped_daemon: Daemon, keys: str, algorithms: str, said: str
) -> None:
    """S21: HS and RS are never in one set."""
    file = stopped_daemon.home / "jwks.json"
    sets: dict[str, list[Any]] = {
        "rsa": [KEY],
        "both": [KEY, ECKey.generate_key("P-256", private=True)],
    }
    if keys in sets:
        file.write_text(json.dumps(KeySet(sets[keys]).as_dict(private=False)))
    elif keys == "garbage":
        file.write_text("{}")
    write_config(stopped_daemon, file, algorithms)

    done = stopped_daemon.run("serve")

    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("harm", ["mode", "owner"])
def test_keys_that_somebody_else_could_have_written_are_refused(
    provided: Daemon, harm: str
) -> None:
    """S17 S21: who writes the keys makes tokens: the file is held to what the configuration is."""
    file = provided.home / "jwks.json"
    if harm == "mode":
        file.chmod(0o666)
    elif os.getuid():
        pytest.skip("only root can give a file away")
    else:
        os.chown(file, 65534, 65534)

    reloaded = provided.run("reload")
    before = status(provided, signed())
    provided.stop()
    started = provided.run("serve")

    for done in (reloaded, started):
        assert done.returncode == 2
        assert f"keys of {ISSUER}: {file}: others can write it" in done.stderr
    assert before == 200


def test_a_key_that_was_replaced_counts_no_more_after_a_reload(provided: Daemon) -> None:
    """S21: rotation without a restart."""
    before = [status(provided, signed()), status(provided, signed(key=OTHER))]
    (provided.home / "jwks.json").write_text(json.dumps(KeySet([OTHER]).as_dict(private=False)))
    reloaded = provided.run("reload")
    after = [status(provided, signed()), status(provided, signed(key=OTHER))]

    assert reloaded.returncode == 0, reloaded.stderr
    assert (before, after) == ([200, 401], [401, 200])


@pytest.mark.parametrize("change", ["taken out", "another key", "another grant", "nothing"])
def test_streams_end_when_their_issuer_changes(provided: Daemon, change: str) -> None:
    """S21: whoever came by it comes back if he still may; others, and their streams, go on."""
    keys = provided.home / "jwks.json"
    file = provided.home / "config" / "rtevents" / "config.yaml"
    mine, other = Caller(provided, signed()), caller(provided, "viewer")
    with mine.stream() as stream, other.stream() as theirs:
        hellos = [json.loads(each.readline())["control"] for each in (stream, theirs)]
        if change == "taken out":
            file.write_text("hosts: []\n")
        elif change == "another key":
            keys.write_text(json.dumps(KeySet([OTHER]).as_dict(private=False)))
        elif change == "another grant":
            file.write_text(file.read_text().replace("[a]", "[b]"))
        assert provided.run("reload").returncode == 0
        left = {each["principal"].partition(":")[0] for each in connections(provided)}
        ended = [] if change == "nothing" else [json.loads(line) for line in stream]

    assert hellos == ["hello", "hello"]
    assert left - {"local"} == ({"jwt", "token"} if change == "nothing" else {"token"})
    if change != "nothing":
        assert ended[-1]["reason"] == "changed"
    again = status(provided, signed())
    assert again == (401 if change in ("taken out", "another key") else 200)


def connections(daemon: Daemon) -> list[dict[str, Any]]:
    """Return every open connection."""
    with daemon.client() as client:
        return client.connections()


def closed_with(socket: ClientConnection) -> int | None:
    """Return the code with which a WebSocket is closed."""
    try:
        while True:
            socket.recv(PATIENCE)
    except ConnectionClosed:
        return socket.close_code


@pytest.mark.parametrize("how", ["fetch", "late"])
def test_streams_end_when_their_origin_is_taken_out(stopped_daemon: Daemon, how: str) -> None:
    """S2: a page of elsewhere that may ask no more follows no more either."""
    daemon = stopped_daemon
    file = daemon.home / "config" / "rtevents" / "config.yaml"
    file.parent.mkdir()
    file.write_text("origins: [https://app.example]\n")
    daemon.start()
    mine = caller(daemon, "viewer")
    url = f"ws://127.0.0.1:{mine.port}/v1/events/ws"
    with ExitStack() as stack:
        kept = stack.enter_context(mine.stream())
        assert kept.readline()
        if how == "fetch":
            page = stack.enter_context(mine.stream(Origin="https://app.example"))
            assert page.readline()
        else:
            socket = stack.enter_context(
                connect(url, origin=Origin("https://app.example"), proxy=None)
            )
            socket.send(json.dumps({"op": "auth", "token": mine.token}))
            assert json.loads(socket.recv(PATIENCE))["control"] == "hello"
        file.write_text("origins: []\n")
        assert daemon.run("reload").returncode == 0
        left = [each for each in connections(daemon) if each["principal"].startswith("token:")]
        if how == "late":
            assert closed_with(socket) == 4011

    assert len(left) == 1
