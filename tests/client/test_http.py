"""HTTP/1.1 as the waiting client reads it, from a peer that sends what the test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rtevents.client.http import MAX_LINE, Connection, Response
from rtevents.errors import BadInput

Peer = Callable[..., Connection]


@pytest.fixture
def peer(home: Path) -> Iterator[Peer]:
    """Return what connects to a peer that reads a request, sends these pieces, and closes."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(home / "s"))
    listening.listen()
    threads = []

    def connect(*pieces: bytes, stays_open: bool = False) -> Connection:
        connection = Connection(str(home / "s"), 5)
        accepted, _ = listening.accept()

        def answer() -> None:
            with accepted:
                accepted.recv(1 << 20)
                for piece in pieces:
                    accepted.sendall(piece)
                if stays_open:
                    accepted.recv(1)  # until the client goes

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return connection

    yield connect
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    listening.close()


def ask(connection: Connection, seconds: float = 5) -> Response:
    """Send a request."""
    return connection.ask("GET", "/", {}, seconds=seconds)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "body", "can_go_on"),
    [
        (b"Content-Length: 5\r\n\r\nhello", b"hello", True),
        (b"content-length:0\r\n\r\n", b"", True),
        (b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello", True),
        (
            b"Transfer-Encoding: Chunked\r\n\r\n00A;x=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
            b"0123456789",
            True,
        ),
        (b"\r\nto the end", b"to the end", False),
    ],
)
def test_a_body_ends_where_its_head_says(
    peer: Peer, answer: bytes, body: bytes, can_go_on: bool
) -> None:
    with closing(peer(HEAD + answer)) as connection:
        response = ask(connection)

        assert (response.status, response.can_go_on) == (200, can_go_on)
        assert response.read() == body


def test_the_pieces_in_which_an_answer_comes_do_not_matter(peer: Peer) -> None:
    answer = (
        HEAD + b"Transfer-Encoding: chunked\r\nX: 1\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )
    with closing(peer(*(answer[at : at + 1] for at in range(len(answer))))) as connection:
        response = ask(connection)

        assert response.read() == b"hello world"
        assert response.fields["x"] == "1"


def test_an_answer_without_a_body_is_not_waited_for(peer: Peer) -> None:
    with closing(peer(b"HTTP/1.1 204 No Content\r\n\r\n", stays_open=True)) as connection:
        assert ask(connection).read() == b""


def test_interim_answers_are_passed_over(peer: Peer) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    with closing(peer(interim + HEAD + b"Content-Length: 2\r\n\r\nok")) as connection:
        assert ask(connection).read() == b"ok"


def test_a_connection_serves_one_request_after_the_other(peer: Peer) -> None:
    both = (HEAD + b"Content-Length: 1\r\n\r\na") + (HEAD + b"Content-Length: 1\r\n\r\nb")
    with closing(peer(both, stays_open=True)) as connection:
        assert [ask(connection).read() for _ in range(2)] == [b"a", b"b"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        HEAD,
        HEAD + b"Content-Length: 5\r\n\r\nhel",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
    ],
)
def test_an_answer_that_is_cut_is_no_answer(peer: Peer, answer: bytes) -> None:
    with (
        closing(peer(answer)) as connection,
        pytest.raises(ConnectionError, match=r"^it was cut$"),
    ):
        ask(connection).read()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there does not speak HTTP/1.1"),
        (b"HTTP/1.1 OK\r\n\r\n", "what answers there does not speak HTTP/1.1"),
        (b"x" * (MAX_LINE + 2), f"a line of more than {MAX_LINE} bytes: not HTTP"),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
            "not the size of a chunk: b'-5'",
        ),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "not the size of a chunk: b'xyz'"),
    ],
)
def test_what_is_not_http_is_told(peer: Peer, answer: bytes, text: str) -> None:
    with closing(peer(answer, stays_open=True)) as connection:
        with pytest.raises(ConnectionError) as caught:
            ask(connection).read()

        assert str(caught.value) == text


def test_an_answer_in_drops_is_given_up_in_time(peer: Peer) -> None:
    with (
        closing(peer(HEAD, b"Content-Length: 5\r\n\r\nhel", stays_open=True)) as connection,
        pytest.raises(TimeoutError),
    ):
        ask(connection, seconds=0.1).read()


def test_a_stream_may_go_on_for_ever_but_not_be_silent(peer: Peer) -> None:
    stream = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"
    with closing(peer(stream, stays_open=True)) as connection:
        parts = ask(connection, seconds=5).parts()
        connection.wait_at_most(0.05)

        assert next(parts) == b"hel"
        with pytest.raises(TimeoutError):
            next(parts)


def test_a_refusal_is_read_though_the_body_was_not(home: Path) -> None:
    """A peer that refuses a large body answers before it is sent, and closes."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(home / "s"))
        listening.listen()
        with closing(Connection(str(home / "s"), 5)) as connection:
            accepted, _ = listening.accept()
            accepted.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            accepted.close()
            response = connection.ask("POST", "/", {}, bytes(1 << 22), seconds=5)

            assert (response.status, response.read()) == (413, b"no")


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "https://:80",
        "http://:80",
        "http://127.0.0.1:x",
        "ftp://a",
        "http://[::",
        "http://.a:1",
        f"http://{'a' * 64}:1",
    ],
)
def test_what_is_no_address_of_a_daemon_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match=r"^not the address of a daemon: .*http\[s\]://host:port$"):
        Connection(address, 1)


def test_a_host_of_ipv6_is_named_in_brackets() -> None:
    with closing(socket.socket(socket.AF_INET6)) as listening:
        try:
            listening.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        listening.listen()
        port = listening.getsockname()[1]
        with closing(Connection(f"http://[::1]:{port}", 5)) as connection:
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
                ask(connection)

                assert f"Host: [::1]:{port}\r\n".encode() in accepted.recv(65536)
