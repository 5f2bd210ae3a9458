"""Who a Redis lets in, and whom a daemon takes for its Redis: TLS, users and their rights."""

from __future__ import annotations

import asyncio
import re
import shlex
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trustme

import rtevents
from rtevents.errors import StoreError
from rtevents.stores.redis import RedisStore
from tests.conftest import wait_for
from tests.redis import RedisNode, RedisSentinel, RedisServer, free_port, node_port

from .samples import event, everything

NO_RIGHT = r"does not allow this user what a log needs \(see: rtevents docs redis\)"


@pytest.fixture
def authority() -> trustme.CA:
    """Who vouches for the server."""
    return trustme.CA()


@pytest.fixture
def guarded(tmp_path: Path, authority: trustme.CA) -> Iterator[tuple[RedisServer, int]]:
    """A Redis that lets in a user with the rights that the manual names; its port for TLS."""
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    port = free_port()
    server = RedisServer(tmp_path / "redis")
    server.start(**{
        "tls-port": str(port),
        "tls-cert-file": str(tmp_path / "cert.pem"),
        "tls-key-file": str(tmp_path / "key.pem"),
        "tls-ca-cert-file": str(tmp_path / "authority.pem"),
        "tls-auth-clients": "no",
    })  # fmt: skip
    rights = ("on", ">s3cret", "~{team}:*", "+@all", "-@dangerous", "+info", "+config|get")
    assert server.ask("ACL", "SETUSER", "daemon", *rights) == b"+OK"
    assert server.ask("ACL", "SETUSER", "reader", "on", ">s3cret", "~*", "+@read", "+@connection",
                      "+info", "+eval", "+evalsha") == b"+OK"  # fmt: skip
    yield server, port
    server.stop()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the system trust that authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


@pytest.mark.usefixtures("trusted")
async def test_a_user_with_the_rights_of_the_manual_has_a_log_by_tls(
    guarded: tuple[RedisServer, int],
) -> None:
    store = await RedisStore.open(f"rediss://daemon:s3cret@localhost:{guarded[1]}/0?log=team")
    try:
        sent = [event(), event()]
        await store.append([sent])
        waited = await store.read(0, 10, wait=5)
        assert [entry.event_id for entry in waited.entries] == [one.event_id for one in sent]
        assert await store.find(sent[1].event_id) == 2
        await store.retain(1, 0, 0)
        assert [entry.seq for entry in await everything(store)] == [2]
        await store.check()
        assert store.weaknesses == []
    finally:
        await store.close()


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> dict[str, str]:
    """The settings of servers that talk to one another, and to anybody, by TLS."""
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return {
        "tls-cert-file": str(tmp_path / "cert.pem"),
        "tls-key-file": str(tmp_path / "key.pem"),
        "tls-ca-cert-file": str(tmp_path / "authority.pem"),
        "tls-auth-clients": "no",
        "tls-replication": "yes",
    }


@pytest.mark.usefixtures("trusted")
async def test_sentinels_and_their_master_are_asked_by_tls(
    tmp_path: Path, tls: dict[str, str]
) -> None:
    master = RedisServer(tmp_path / "master", **tls, **{"tls-port": str(free_port())})
    at = str(free_port())
    sentinel = RedisSentinel(tmp_path / "sentinel", master, 1, **tls, **{"tls-port": at})
    try:
        master.start()
        sentinel.start()
        store = await RedisStore.open(f"rediss+sentinel://127.0.0.1:{at}/team")
        await store.append([[event()]])
        assert (await store.bounds()).last == 1
        await store.close()
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:"):
            await RedisStore.open(f"redis+sentinel://127.0.0.1:{at}/team")
    finally:
        sentinel.stop()
        master.stop()


@pytest.mark.usefixtures("trusted")
async def test_the_nodes_of_a_cluster_are_asked_by_tls(tmp_path: Path, tls: dict[str, str]) -> None:
    ports = [str(node_port()) for _ in range(2)]
    nodes = [
        RedisNode(tmp_path / f"node{port}", **tls, **{"tls-port": port, "tls-cluster": "yes"})
        for port in ports
    ]
    try:
        for node, slots in zip(nodes, (("0", "8191"), ("8192", "16383")), strict=True):
            node.start()
            assert node.ask("CLUSTER", "ADDSLOTSRANGE", *slots) == b"+OK"
        assert nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", ports[1]) == b"+OK"
        for node in nodes:
            whole = partial(node.tells, b"cluster_state:ok", "CLUSTER", "INFO")
            await asyncio.to_thread(wait_for, whole, "the cluster is whole")

        # Each is found by the node that does not have it.
        for name in ("a", "b", "c", "d"):
            store = await RedisStore.open(f"rediss+cluster://127.0.0.1:{ports[0]}?log={name}")
            await store.append([[event()]])
            assert (await store.bounds()).last == 1
            await store.close()

        assert all(node.ask("DBSIZE") > b":0" for node in nodes)
    finally:
        for node in nodes:
            node.stop()


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    guarded: tuple[RedisServer, int],
) -> None:
    url = f"rediss://daemon:s3cret@localhost:{guarded[1]}/0?log=team"

    with pytest.raises(StoreError) as caught:
        await RedisStore.open(url)

    assert str(caught.value) == (
        f"redis at localhost:{guarded[1]} has a certificate that is not trusted: self-signed "
        "certificate in certificate chain: set SSL_CERT_FILE to the file of the authority that "
        "signed it (rtevents docs redis)"
    )


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_another_host_is_refused(guarded: tuple[RedisServer, int]) -> None:
    url = f"rediss://daemon:s3cret@127.0.0.1:{guarded[1]}/0?log=team"

    with pytest.raises(StoreError) as caught:
        await RedisStore.open(url)

    assert str(caught.value) == (
        f"redis at 127.0.0.1:{guarded[1]} has a certificate of another name: IP address mismatch, "
        "certificate is not valid for '127.0.0.1': write a name that it has"
    )


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_that_has_expired_is_told(
    tmp_path: Path, authority: trustme.CA
) -> None:
    past = authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    past.configure_cert(context)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(StoreError) as caught:
            await RedisStore.open(f"rediss://localhost:{port}")

    assert str(caught.value) == (
        f"redis at localhost:{port} has a certificate of another time: certificate has expired: "
        "renew it there, or set the clock here"
    )


@pytest.mark.usefixtures("trusted")
async def test_who_speaks_tls_and_who_does_not_are_told_to_agree(
    guarded: tuple[RedisServer, int],
) -> None:
    server, tls = guarded
    web = await asyncio.start_server(_answer_in_plain_text, "127.0.0.1", 0)
    port = web.sockets[0].getsockname()[1]
    said = {
        f"redis://localhost:{tls}": "closes the connection: if it wants TLS, write rediss, not "
        "redis",
        f"rediss://localhost:{server.port}": "does not answer in time: if it does not speak TLS, "
        "write redis, not rediss",
        f"rediss://localhost:{port}": "does not speak TLS as expected (WRONG_VERSION_NUMBER): if "
        "not at all, write redis://",
    }
    async with web:
        for url, words in said.items():
            with pytest.raises(StoreError) as caught:
                await RedisStore.open(url)
            assert str(caught.value) == f"redis at {url.partition('://')[2]} {words}"

    assert server.ask("CONFIG", "SET", "tls-auth-clients", "yes") == b"+OK"
    with pytest.raises(StoreError, match="wants a certificate from who asks, and we have none"):
        await RedisStore.open(f"rediss://daemon:s3cret@localhost:{tls}/0?log=team")


async def _answer_in_plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_the_users_of_the_manual_have_their_logs_and_no_other(tmp_path: Path) -> None:
    """Made by a command, or by the line of `redis.conf`, which a restart leaves."""
    page = (Path(rtevents.__file__).parent / "docs" / "redis.md").read_text()
    command, line = re.findall(r"^```(?:sh|conf) acl\n(.+)\n```", page, re.MULTILINE)
    _, *words = shlex.split(command)
    asked = RedisServer(tmp_path / "asked")
    written = RedisServer(tmp_path / "written", user=line.removeprefix("user "))
    try:
        for server in (asked, written):
            server.start()
        assert asked.ask(*words) == b"+OK"
        for server in (asked, written):
            url = f"redis://rtevents:PASSWORD@127.0.0.1:{server.port}/0?log="
            for name in ("events", "web"):
                store = await RedisStore.open(url + name)
                await store.append([[event()]])
                assert (await store.bounds()).last == 1
                await store.close()
            with pytest.raises(StoreError, match="rtevents docs redis"):
                await RedisStore.open(url + "other")
    finally:
        for server in (asked, written):
            server.stop()


async def test_a_user_with_too_few_rights_is_told_which(guarded: tuple[RedisServer, int]) -> None:
    server = guarded[0]
    other = f"redis://daemon:s3cret@127.0.0.1:{server.port}/0?log=other"
    reader = f"redis://reader:s3cret@127.0.0.1:{server.port}/0?log=team"

    for url in (other, reader):
        with pytest.raises(StoreError, match=NO_RIGHT):
            await RedisStore.open(url)
