"""TLS on the real daemon: S24."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import threading

import pytest
import trustme

from rtevents.client.asyncio import Client as AsyncClient
from rtevents.client.sync import Client
from rtevents.core.event import Entry
from rtevents.errors import NotReachable
from tests.conftest import PATIENCE, Daemon, wait_for
from tests.faults.checker import risk


class Secured:
    """
    A daemon whose TCP is encrypted.

    Args:
        daemon: One that is not started yet.
        listen: Where it listens. 127.0.0.2 is this machine's, but not one of the addresses that
            count as such: what holds beyond loopback is seen on it.
    """

    def __init__(self, daemon: Daemon, listen: str = "127.0.0.1:0") -> None:
        self.daemon = daemon
        self.authority = trustme.CA()
        self.ca, self.cert, self.key = (
            daemon.home / f"{name}.pem" for name in ("ca", "cert", "key")
        )
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.issue()
        folder = daemon.home / "config" / "rtevents"
        folder.mkdir(mode=0o700)
        self.config = folder / "config.yaml"
        daemon.env.pop("RTEVENTS_LISTEN")
        daemon.env["SSL_CERT_FILE"] = str(self.ca)
        self.configure(f"listen: {listen}")

    def configure(self, *lines: str) -> None:
        """Write the configuration."""
        tls = f"tls: {{cert: {self.cert}, key: {self.key}}}"
        self.config.write_text("\n".join([*lines, tls, ""]))

    def issue(self) -> None:
        """Have a certificate made, in the place of the one before."""
        issued = self.authority.issue_cert("localhost", "127.0.0.1", "127.0.0.2")
        issued.private_key_pem.write_to_path(str(self.key))
        self.key.chmod(0o600)
        with self.cert.open("wb") as file:
            file.writelines(pem.bytes() for pem in issued.cert_chain_pems)

    def token(self, role: str = "owner") -> str:
        """Return the secret of a new token."""
        with self.daemon.client() as client:
            return str(client.create_token(role)["token"])

    @property
    def url(self) -> str:
        """Where it is found."""
        with self.daemon.client() as client:
            return str(client.status()["url"])

    def handshake(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Return a connection of one's own."""
        host, _, port = self.url.removeprefix("https://").rpartition(":")
        opened = socket.create_connection((host, int(port)), PATIENCE)
        try:
            trusting = context or ssl.create_default_context(cafile=str(self.ca))
            return trusting.wrap_socket(opened, server_hostname=host)
        except OSError:
            opened.close()
            raise


@pytest.fixture
def secured(stopped_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Secured:
    """Return a daemon whose TCP is encrypted, and that runs."""
    secured = Secured(stopped_daemon)
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.ca))
    stopped_daemon.start("--no-project", "--quiet")
    return secured


def test_every_way_in_works_encrypted(secured: Secured) -> None:
    """S24: publish, history and stream of both clients and of the command line."""
    daemon, url, token = secured.daemon, secured.url, secured.token()
    assert url.startswith("https://127.0.0.1:")
    with Client(url, token=token) as client:
        assert client.publish(risk("one")).seq == 1
        entry = next(client.stream(since="all"))
        assert isinstance(entry, Entry)
        assert entry.seq == 1

    async def scene() -> int:
        async with AsyncClient(url, token=token) as client:
            await client.publish(risk("two"))
            async for item in client.stream(since="all"):
                assert isinstance(item, Entry)
                if item.seq == 2:
                    return item.seq
        return 0

    assert asyncio.run(scene()) == 2
    far = {"RTEVENTS_URL": url, "RTEVENTS_TOKEN": token}
    assert daemon.run("publish", "risk", "three", env=far).returncode == 0
    assert daemon.run("history", env=far).stdout.count("\n") == 3
    ticket = daemon.run("dashboard", "--print", env=far)
    assert url in ticket.stdout or ticket.returncode != 0


def test_a_browser_session_is_for_https_alone(secured: Secured) -> None:
    """S24: the cookie is not sent unencrypted."""
    with secured.daemon.client() as client:
        url = client.ticket()["url"]
    assert url.startswith(f"{secured.url}/#t=")
    body = json.dumps({"ticket": url.partition("#t=")[2]})
    with secured.handshake() as opened:
        host = secured.url.removeprefix("https://")
        opened.sendall(
            f"POST /v1/login HTTP/1.1\r\nhost: {host}\r\norigin: {secured.url}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = opened.recv(4096).decode().lower()
    assert answer.startswith("http/1.1 200")
    (cookie,) = [line for line in answer.split("\r\n") if line.startswith("set-cookie")]
    assert {"secure", "httponly", "samesite=strict"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_what_is_old_or_not_encrypted_or_not_trusted_is_refused(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S24: TLS 1.1, plain HTTP, and for a client a certificate of somebody else."""
    old = ssl.create_default_context(cafile=str(secured.ca))
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL|EOF"):
        secured.handshake(old)

    host, _, port = secured.url.removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as plain:
        plain.sendall(b"GET /v1/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert not plain.recv(4096).startswith(b"HTTP")

    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        pytest.raises(NotReachable, match="certificate"),
        Client(secured.url, retry_for=0) as client,
    ):
        client.publish(risk("never"))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda it: it.key.chmod(0o644), "others can use it"),
        (lambda it: it.key.unlink(), "No such file or directory"),
        (lambda it: it.cert.write_text("nothing"), "no certificate with its key"),
        (lambda it: it.authority.issue_cert("x").private_key_pem.write_to_path(str(it.key)),
         "key values mismatch"),
    ],
)  # fmt: skip
def test_a_pair_that_cannot_be_used_is_told_with_its_place(
    stopped_daemon: Daemon, harm: object, said: str
) -> None:
    """S24: exit 2, with the file, the line and what is wrong."""
    secured = Secured(stopped_daemon)
    assert callable(harm)
    harm(secured)

    done = stopped_daemon.run("serve", "--no-project")

    assert done.returncode == 2
    assert f"{secured.config}:2: tls" in done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_renewed_certificate_is_shown_after_a_reload_and_streams_go_on(secured: Secured) -> None:
    """S24: SIGHUP; one that cannot be used is refused, and the one before is shown on."""
    daemon, token = secured.daemon, secured.token()

    def shown() -> bytes:
        with secured.handshake() as opened:
            return opened.getpeercert(binary_form=True) or b""

    before = shown()
    with Client(secured.url, token=token) as reader, daemon.client() as client:
        stream = reader.stream(reconnect=False, control=True)
        next(stream)
        secured.issue()
        assert shown() == before
        assert daemon.process
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: shown() != before, "the new one is shown")
        renewed = shown()
        secured.cert.write_text("nothing")
        done = daemon.run("reload")
        assert (done.returncode, "no certificate with its key" in done.stderr) == (2, True)
        assert shown() == renewed

        client.publish(risk("still there"))
        assert any(isinstance(item, Entry) and item.type == "RISK_ALERT" for item in stream)


def test_beyond_this_machine_it_takes_tls_and_a_token(
    stopped_daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S24: refused without TLS; without a token it does not listen, and says what to do."""
    daemon = stopped_daemon
    secured = Secured(daemon, "127.0.0.2:0")
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.ca))
    with_tls = secured.config.read_text()
    secured.config.write_text("listen: 127.0.0.2:0\n")
    done = daemon.run("serve", "--no-project")
    assert (done.returncode, "is not a loopback address" in done.stderr) == (2, True)

    secured.config.write_text(with_tls)
    daemon.start("--no-project", "--quiet")
    with daemon.client() as client:
        status = client.status()
    assert status["listen"] is None
    assert "no token lets anybody in; first: rtevents token create" in status["listen_error"]
    token = secured.token("viewer")
    daemon.stop()

    daemon.start("--no-project", "--quiet")
    assert secured.url.startswith("https://127.0.0.2:")
    with Client(secured.url, token=token) as client:
        assert client.history().events == []


def test_a_handshake_that_does_not_come_is_given_up(stopped_daemon: Daemon) -> None:
    """S19, S24: who connects and says nothing is closed like who sends no head."""
    secured = Secured(stopped_daemon)
    secured.configure("listen: 127.0.0.1:0", "head_timeout: 0.5")
    stopped_daemon.start("--no-project", "--quiet")
    host, _, port = secured.url.removeprefix("https://").rpartition(":")
    ended = threading.Event()
    with socket.create_connection((host, int(port)), PATIENCE) as silent:
        try:
            assert silent.recv(1) == b""
        except ConnectionResetError:
            ended.set()
