"""A webhook: what is sent, how it is signed, and a receiver that fails, hangs and lies."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from rtevents.config.sinks import WebhookSettings
from rtevents.core.event import Entry, Gap
from rtevents.errors import ConfigError, ReactionFailed
from rtevents.sinks import Batch
from rtevents.sinks.webhook import (
    WebhookReaction,
    open_webhook,
    parse_secret,
    retry_after,
    signature,
)

from .conftest import Sinks, risk, until
from .receiver import Answer, Receiver, status

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def batch(*seqs: int, gap: Gap | None = None) -> Batch:
    """Return a batch of entries of these numbers."""
    return Batch(sink="s", entries=[Entry.of(risk(n), n) for n in seqs], epoch="0badcafe", gap=gap)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return a receiver that takes everything."""
    async with Receiver() as receiver:
        yield receiver


async def post(url: str, sent: Batch | None = None, **settings: object) -> None:
    """Post a batch once."""
    reaction = open_webhook(WebhookSettings(url=url, **settings))  # type: ignore[arg-type]
    try:
        await reaction.act(sent or batch(7))
    finally:
        await reaction.close()


async def test_one_event_is_posted_as_it_is_in_the_stream(receiver: Receiver) -> None:
    sent = batch(7)
    await post(receiver.url, sent, headers={"Authorization": "Bearer x"})

    (request,) = receiver.requests
    assert request.line == "POST /hook HTTP/1.1"
    assert request.body == sent.entries[0].wire
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers["webhook-id"] == "0badcafe-7"
    assert request.headers["user-agent"].startswith("rtevents/")
    assert "webhook-signature" not in request.headers


async def test_several_are_an_array_and_a_gap_is_told(receiver: Receiver) -> None:
    await post(receiver.url, batch(7, 8, gap=Gap(2, 6, "trimmed")))

    (request,) = receiver.requests
    assert [event["seq"] for event in json.loads(request.body)] == [7, 8]
    assert request.headers["webhook-id"] == "0badcafe-7-8"
    assert request.headers["rtevents-gap"] == "3-5 trimmed"


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (batch(7), "application/cloudevents+json"),
        (batch(7, 8), "application/cloudevents-batch+json"),
    ],
)
async def test_cloudevents_are_sent_on_request(receiver: Receiver, sent: Batch, kind: str) -> None:
    await post(receiver.url, sent, format="cloudevents")

    (request,) = receiver.requests
    assert request.headers["content-type"] == kind
    found = json.loads(request.body)
    first = found[0] if isinstance(found, list) else found
    assert (first["specversion"], first["type"]) == ("1.0", "RISK_ALERT")
    assert all(each.isascii() and each.isalnum() and each.islower() for each in first)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_the_signature_is_what_openssl_makes_of_it(
    receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    before = int(time.time())
    await post(receiver.url, secret_file=str(file))

    (request,) = receiver.requests
    stamp = request.headers["webhook-timestamp"]
    assert before <= int(stamp) <= time.time()
    signed = f"{request.headers['webhook-id']}.{stamp}.".encode() + request.body
    key = base64.b64decode(SECRET.removeprefix("whsec_")).hex()
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key}", "-binary"],
        input=signed, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(made).decode()}"


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example of the reference libraries of Standard Webhooks."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_two_secrets_sign_each_while_one_is_replaced(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "whsec_" + base64.b64encode(b"x" * 24).decode()
    monkeypatch.setenv("HOOK", f"{SECRET} {other}")
    await post(receiver.url, secret_env="HOOK")  # noqa: S106 - a name

    assert len(receiver.requests[0].headers["webhook-signature"].split(" ")) == 2


async def stay(writer: asyncio.StreamWriter) -> None:
    """Say nothing, for ever."""
    await asyncio.sleep(3600)


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Begin an answer, and add a byte now and then."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    writer.close()


async def break_off(writer: asyncio.StreamWriter) -> None:
    """Promise more than comes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
    await writer.drain()
    writer.close()


async def flood_head(writer: asyncio.StreamWriter) -> None:
    """Send headers without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: " + b"y" * 4000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (stay, "no answer within 0.5 s"),
        (trickle, "no answer within 0.5 s"),
        (hang_up, "no answer: the connection was cut"),
        (break_off, "no answer: the connection was cut"),
        (flood_head, "no answer: what answers there does not speak HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no answer: what answers there does not speak HTTP/1.1"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "no answer: what answers there does not speak HTTP/1.1"),
        (status(500), "the answer is 500"),
        (status(503), "the answer is 503"),
        (status(999), "the answer is 999"),
        (status(408), "the answer is 408"),
        (status(425), "the answer is 425"),
        (status(429), "the answer is 429"),
    ],
)
async def test_what_may_be_better_later_is_to_be_tried_again(answer: Answer, said: str) -> None:
    async with Receiver(answer) as receiver:
        with pytest.raises(ReactionFailed) as caught:
            await post(receiver.url, timeout=0.5)

    assert str(caught.value).startswith(said)
    assert (caught.value.is_final, caught.value.is_down) == (False, True)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 422])
async def test_what_is_refused_is_not_to_be_tried_again(code: int) -> None:
    async with Receiver(status(code)) as receiver:
        with pytest.raises(ReactionFailed) as caught:
            await post(receiver.url)

    refused = caught.value
    assert (refused.is_final, refused.is_gone, refused.is_down) == (True, False, False)


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    async with Receiver(status(307, f"Location: {receiver.url}")) as liar:
        with pytest.raises(ReactionFailed, match="a redirect, which is not followed"):
            await post(liar.url)

    assert receiver.requests == []


async def test_an_endless_answer_is_read_to_a_limit() -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536

    async with Receiver(endless) as receiver:
        await post(receiver.url, timeout=20)

    # What the sockets hold between the two comes on top of what is read.
    assert sent < 32 * 1024**2


async def test_a_compressed_bomb_stays_compressed() -> None:
    import gzip

    bomb = gzip.compress(b"\0" * 10_000_000)
    async with Receiver(status(200, "Content-Encoding: gzip", body=bomb)) as receiver:
        await post(receiver.url)

    assert len(receiver.requests) == 1


@pytest.mark.parametrize("code", [429, 503])
async def test_the_receiver_may_say_when_to_come_back(code: int) -> None:
    async with Receiver(status(code, "Retry-After: 17")) as receiver:
        with pytest.raises(ReactionFailed) as caught:
            await post(receiver.url)

    assert caught.value.retry_after == 17


def test_a_date_says_so_too() -> None:
    later = datetime.now(UTC) + timedelta(seconds=60)

    assert 55 < retry_after(format_datetime(later, usegmt=True)) <= 60
    for nonsense in ("", "soon", "-5", "²", "9" * 40, "Mon, 99 Foo"):
        assert retry_after(nonsense) == 0


async def test_a_certificate_that_nobody_knows_is_not_accepted() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    taken: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(status(204))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        with pytest.raises(ReactionFailed, match="its certificate is not trusted: unable to get"):
            await post(url)
        assert taken == []
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        reaction = WebhookReaction(url, headers={}, trust=trust)
        await reaction.act(batch(7))
        await reaction.close()
    finally:
        server.close()
    assert len(taken) == 1


async def test_a_sink_brings_all_through_a_receiver_that_fails_hangs_and_lies(
    sinks: Sinks,
) -> None:
    answers: list[Answer] = [
        status(500), hang_up, status(200), break_off, stay, b"nonsense\r\n\r\n", status(200),
        status(302, "Location: http://127.0.0.1:1/"), status(429, "Retry-After: 0"), status(422),
    ]  # fmt: skip
    async with Receiver(*answers) as receiver:
        reaction = open_webhook(WebhookSettings(url=receiver.url, timeout=0.5))
        sink = await sinks.started(reaction, retries=20)
        await sinks.publish(1, 2, 3, 4)
        await until(lambda: sinks.bookmark.endswith("-4"), "all are done")
        await reaction.close()

    ids = [request.headers["webhook-id"].partition("-")[2] for request in receiver.requests]
    assert ids == ["1"] * 3 + ["2"] * 4 + ["3"] * 3 + ["4"]
    assert sink.dead is not None
    assert [letter.entry.seq for letter in sink.dead.read(sink.dead.ids)] == [3]


async def test_a_receiver_that_is_away_for_long_loses_nothing(sinks: Sinks) -> None:
    """It is away for far more attempts than there are, then ill, then back: in order, each once."""
    async with Receiver() as before:
        url = before.url
    reaction = open_webhook(WebhookSettings(url=url, timeout=5))
    sink = await sinks.started(reaction, retries=1, breaker=2, breaker_pause=0.001)
    await sinks.publish(*range(20))
    await until(lambda: sink.attempts.failures > 10, "nobody is there, again and again")
    assert "no answer" in (sinks.warned or "")
    assert (sinks.warned or "").endswith("lag 20")
    assert sinks.bookmark.endswith("-0")
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with Receiver(*[status(503)] * 10, port=port) as receiver:
        sink.resume()  # its rests have grown long
        await until(lambda: sinks.bookmark.endswith("-20"), "it is back, and has all")
        await reaction.close()

    seqs = [request.headers["webhook-id"].partition("-")[2] for request in receiver.requests[10:]]
    assert [*dict.fromkeys(seqs)] in (
        [str(seq) for seq in range(1, 21)],
        ["2", "1", *(str(seq) for seq in range(3, 21))],  # back between the first and the second
    )
    assert seqs[-20:] == [str(seq) for seq in range(1, 21)]
    assert sink.as_dict()["dead"] == 0
    assert sinks.warned is None


async def test_one_event_that_a_receiver_cannot_bear_is_a_dead_letter(sinks: Sinks) -> None:
    """It answers 500 to one event alone: the others must not wait for ever."""
    async with Receiver(answer=lambda request: 500 if b"risk 2" in request.body else 204) as one:
        reaction = open_webhook(WebhookSettings(url=one.url))
        sink = await sinks.started(reaction, retries=2, breaker=2, breaker_pause=0.001)
        await sinks.publish(1, 2, 3, 4)
        await until(lambda: sinks.bookmark.endswith("-4"), "the others are done")
        await reaction.close()

    assert sink.dead is not None
    (letter,) = sink.dead.read(sink.dead.ids)
    assert (letter.entry.seq, letter.reason) == (2, "the answer is 500")
    seqs = [request.headers["webhook-id"].partition("-")[2] for request in one.requests]
    assert seqs == ["1", "2", "2", "2", "3", "2", "4"]


async def test_gone_ends_the_sink(sinks: Sinks) -> None:
    async with Receiver(status(410)) as receiver:
        reaction = open_webhook(WebhookSettings(url=receiver.url))
        sink = await sinks.started(reaction)
        await sinks.publish(1, 2)
        await until(lambda: sink.as_dict()["state"] == "gone", "it is gone")
        sink_requests = len(receiver.requests)
        await reaction.close()

    assert sink_requests == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "ftp://x/"}, "webhook.url: expected https://host/"),
        ({"url": "http://"}, "webhook.url: expected https://host/"),
        ({"url": "http://a:b@x/"}, "webhook.url: expected https://host/"),
        ({"url": "http://[x/"}, "webhook.url: expected https://host/"),
        ({"url": "http://x/", "headers": {"a b": "c"}}, "webhook.headers: not a header: 'a b'"),
        ({"url": "http://x/", "headers": {"a": "b\r\nc: d"}}, "webhook.headers: not a header"),
        ({"url": "http://x/", "secret_file": "/nonesuch"}, "webhook.secret_file: no such file"),
        ({"url": "http://x/", "secret_env": "NONESUCH"}, "webhook.secret_env: NONESUCH is not set"),
        ({"url": "http://x/", "secret_file": "a", "secret_env": "b"}, "webhook: expected secret_f"),
    ],
)
def test_what_cannot_be_used_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_webhook(WebhookSettings(**settings))  # type: ignore[arg-type]

    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("text", ["geheim", "whsec_", "whsec_!!!!", "whsec_YWJj"])
def test_a_secret_that_is_none_is_not_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(ConfigError, match="expected whsec_ and 24 to 64 bytes") as caught:
        open_webhook(WebhookSettings(url="http://x/", secret_file=str(file)))

    assert text == "whsec_" or text not in str(caught.value)


def test_a_secret_that_others_can_write_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o666)
    with pytest.raises(ConfigError, match=r"webhook\.secret_file: .*others can write it"):
        open_webhook(WebhookSettings(url="http://x/", secret_file=str(file)))


async def test_a_receiver_that_speaks_no_http_gets_no_secret_of_the_address_told() -> None:
    async def garbage(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 xx\r\n\r\n")
        await writer.drain()
        writer.close()

    async with Receiver(garbage) as receiver:
        with pytest.raises(ReactionFailed) as caught:
            await post(receiver.url + "?token=geheim")
    with pytest.raises(ReactionFailed) as invalid:
        await post("http://\u2028/geheim")

    assert str(caught.value) == "no answer: what answers there does not speak HTTP/1.1"
    assert str(invalid.value) == "no answer: the url cannot be used"
    assert "geheim" not in str(caught.value)


def test_a_mistake_in_the_address_tells_no_secret_of_it() -> None:
    with pytest.raises(ConfigError) as caught:
        open_webhook(WebhookSettings(url="https://me:geheim@chat.example/"))

    assert str(caught.value) == "webhook.url: expected https://host/… without a user"


@pytest.mark.parametrize("name", ["Content-Length", "content-type", "Webhook-Id", "rtevents-gap"])
def test_headers_of_its_own_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"webhook.headers: {name} is not for others to say"):
        open_webhook(WebhookSettings(url="https://chat.example/", headers={name: "3"}))
