"""Servers: rtevents and those it is compared with, each started for one run and stopped after."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from rtevents.client.sync import Client
from tests.benchmarks.load import HERE, Target, Work, compiled

PATIENCE = 30.0
"""Seconds in which a server must come up."""

SERVE = [sys.executable, "-P", "-m", "rtevents", "serve", "--quiet", "--no-project"]
"""The daemon as the service unit and `serve --detach` run it."""


class MissingError(Exception):
    """A peer is not installed here; the text says what is missing."""


@contextmanager
def rtevents(
    work: Work, *, tcp: bool = True, env: Mapping[str, str] | None = None, state: Path | None = None
) -> Iterator[Target]:
    """
    Run the daemon with its durable store.

    Args:
        tcp: Reach it over TCP, as the peers are, rather than by its Unix socket.
        env: More environment.
        state: Its state directory, kept; a new one else.
    """
    port = _free_port()
    with _folder() as home:
        settings = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "XDG_STATE_HOME": str(state or home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "RTEVENTS_LISTEN": f"127.0.0.1:{port}",
            # A crossed threshold would be one event more than was published.
            "RTEVENTS_HEALTH__INTERVAL": "86400",
        }
        path = home / "rtevents" / "rtevents.sock"
        with _server(SERVE, home, path, env=settings | dict(env or {})) as pid:
            headers = ""
            if tcp:
                with Client(path) as client:
                    token = client.create_token("owner")["token"]
                headers = f"Authorization: Bearer {token}\r\n"
            is_ws = work.over == "ws"
            yield Target(
                address=f"127.0.0.1:{port}" if tcp else str(path),
                pids=[pid],
                subscriber=work.over,
                publisher="http",
                subscribe="/v1/events/ws" if is_ws else "/v1/events/stream",
                publish="/v1/events",
                headers=headers,
            )


def rtevents_unlimited(work: Work) -> AbstractContextManager[Target]:
    """Run the daemon without a limit on what it keeps."""
    limits = {"RTEVENTS_RETENTION__MAX_EVENTS": "0", "RTEVENTS_RETENTION__MAX_BYTES": "0"}
    return rtevents(work, env=limits)


def rtevents_by_socket(work: Work) -> AbstractContextManager[Target]:
    """Run the daemon, reached by its Unix socket."""
    return rtevents(work, tcp=False)


@contextmanager
def rtevents_on_redis(work: Work) -> Iterator[Target]:
    """Run the daemon with its log in Redis."""
    with log_on_redis() as (url, _), rtevents(work, env={"RTEVENTS_STORE": url}) as target:
        yield target


@contextmanager
def rtevents_and_redis(work: Work) -> Iterator[Target]:
    """Run the daemon with its log in Redis; the server is both."""
    with log_on_redis() as (url, pid), rtevents(work, env={"RTEVENTS_STORE": url}) as target:
        yield msgspec.structs.replace(target, pids=[*target.pids, pid])


@contextmanager
def log_on_redis() -> Iterator[tuple[str, int]]:
    """Run a Redis that keeps what it answered; yield the URL of a log there, and its pid."""
    port = _free_port()
    command = [_find("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always"]
    with _folder() as home, _server(command, home, port) as pid:
        yield f"redis://127.0.0.1:{port}/0", pid


@contextmanager
def limit(work: Work) -> Iterator[Target]:
    """Run a C program that does nothing but write what came in one round to every subscriber."""
    port = _free_port()
    command = [str(compiled("limit")), str(port), work.over, "0"]
    with _folder() as home, _server(command, home, port) as pid:
        yield Target(
            address=f"127.0.0.1:{port}",
            pids=[pid],
            subscriber=work.over,
            publisher="http",
            subscribe="/events",
            publish="/publish",
        )


@contextmanager
def redis(work: Work) -> Iterator[Target]:
    """Run Redis pub/sub; it stores nothing."""
    port = _free_port()
    command = [_find("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    # As many as the load generator opens; and no reader is cut off for being slow.
    command += ["--maxclients", "12000", "--client-output-buffer-limit", "pubsub 0 0 0"]
    with _folder() as home, _server(command, home, port) as pid:
        yield Target(address=f"127.0.0.1:{port}", pids=[pid], subscriber="redis", publisher="redis")


@contextmanager
def redis_streams(work: Work) -> Iterator[Target]:
    """Run Redis Streams, each answer after an fsync."""
    port = _free_port()
    command = [_find("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--maxclients", "12000", "--appendonly", "yes", "--appendfsync", "always"]
    with _folder() as home, _server(command, home, port) as pid:
        yield Target(address=f"127.0.0.1:{port}", pids=[pid], subscriber="xread", publisher="xadd")


@contextmanager
def nats(work: Work) -> Iterator[Target]:
    """Run nats-server, core only: it stores nothing."""
    port = _free_port()
    command = [_find("nats-server"), "-a", "127.0.0.1", "-p", str(port)]
    with _folder() as home, _server(command, home, port) as pid:
        yield Target(address=f"127.0.0.1:{port}", pids=[pid], subscriber="nats", publisher="nats")


NGINX = """
daemon off; master_process off; worker_rlimit_nofile 20000; pid {home}/pid;
error_log {home}/error.log crit;
{module}
events {{ worker_connections 16000; }}
http {{
  access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  keepalive_requests 100000000;
  nchan_shared_memory_size 256M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /publish {{ nchan_publisher; nchan_channel_id ev;
      nchan_message_buffer_length 2000; }}
    location = /events {{ nchan_subscriber; nchan_channel_id ev;
      nchan_subscriber_first_message newest; }}
  }}
}}
"""


@contextmanager
def nchan(work: Work) -> Iterator[Target]:
    """Run nginx with nchan, its messages in shared memory."""
    port = _free_port()
    program = _find("nginx")
    found = [*Path("/usr/lib/nginx/modules").glob("ngx_nchan_module.so")]
    if not found:
        raise MissingError("nginx has no nchan module")
    with _folder() as home:
        conf = home / "nginx.conf"
        module = f"load_module {found[0]};"
        conf.write_text(NGINX.format(home=home, port=port, module=module))
        with _server([program, "-p", str(home), "-c", str(conf)], home, port) as pid:
            yield Target(
                address=f"127.0.0.1:{port}",
                pids=[pid],
                subscriber=work.over,
                publisher="http",
                subscribe="/events",
                publish="/publish",
            )


def _python_app(name: str, *modules: str) -> Callable[[Work], Iterator[Target]]:
    def app(work: Work) -> Iterator[Target]:
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise MissingError(f"Python has no {module}")
        port = _free_port()
        command = [sys.executable, str(HERE / "apps" / f"{name}.py"), str(port)]
        with _folder() as home, _server(command, home, port) as pid:
            yield Target(
                address=f"127.0.0.1:{port}",
                pids=[pid],
                subscriber=work.over,
                publisher="http",
                subscribe="/events",
                publish="/publish",
            )

    return app


sse_starlette = contextmanager(_python_app("sse", "sse_starlette", "uvicorn"))
"""Run sse-starlette on uvicorn: a queue for each client, as its documentation shows."""

starlette = contextmanager(_python_app("nothing", "starlette", "uvicorn"))
"""Run a Starlette handler on uvicorn that stores nothing."""

aiohttp_send = contextmanager(_python_app("send", "aiohttp"))
"""Run aiohttp with `send_str` to each client."""


def _find(program: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise MissingError(f"{program} is not installed")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rtb-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _server(
    command: Sequence[str], home: Path, where: int | Path, *, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server and yield its pid once it listens; it is stopped by that pid."""
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not _listens(where):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (home / "output").read_text(errors="replace")[-500:]
                raise RuntimeError(f"{command[0]} did not come up: {said}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(where: int | Path) -> bool:
    family = socket.AF_INET if isinstance(where, int) else socket.AF_UNIX
    address: tuple[str, int] | str = ("127.0.0.1", where) if isinstance(where, int) else str(where)
    with socket.socket(family) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
