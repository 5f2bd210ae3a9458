"""How each log is: whole in its file, or reachable, allowed and kept in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rtevents.cli.doctor.check import Check, ok, problem, warning
from rtevents.cli.doctor.daemon import lock_owner
from rtevents.cli.output import size
from rtevents.cli.status import span
from rtevents.config.logs import MAIN
from rtevents.config.paths import Paths
from rtevents.config.settings import Config
from rtevents.errors import ConfigError, StoreDamaged, StoreError
from rtevents.stores import store_name

if TYPE_CHECKING:
    from rtevents.stores.redis_look import Looked

RIGHTS = "~{LOG}:* +@all -@dangerous +info +config|get"
"""What the user of a log needs in Redis."""

REMEDIES = {
    "appendonly": "in redis.conf, or by CONFIG SET: appendonly yes",
    "appendfsync": "in redis.conf, or by CONFIG SET: appendfsync always",
    "maxmemory-policy": "in redis.conf, or by CONFIG SET: maxmemory-policy noeviction",
    "replica": "store: redis…?replicas=1 waits for one with each event",
}
"""What to do about a weakness, by a word of it."""


def logs(config: Config, paths: Paths) -> Iterator[Check]:
    """Tell how each log is; nothing of it is changed."""
    from rtevents.stores.quarantine import all_aside

    for name, store in [(MAIN, config.store), *((log.name, log.store) for log in config.logs)]:
        file = paths.log_file(name)
        if store.startswith("redis"):
            yield from _shared(name, store, config, paths)
        elif store == "memory":
            yield ok(_row("log", name), "in memory: it ends with the daemon")
        else:
            yield _file(_row("log", name), file, paths)
        for aside in all_aside(file.resolve()):
            yield warning(
                "damaged log",
                f"{aside}, {size(aside.stat().st_size)}, was put aside",
                f"rtevents doctor --recover {aside} prints what can be read; delete it then",
            )
    yield from _waiting(paths)


def _row(what: str, log: str) -> str:
    return what if log == MAIN else f"{what} {log}"


def _file(name: str, database: Path, paths: Paths) -> Check:
    """Tell whether a log in a file is whole."""
    from rtevents.stores.hint import HintFile
    from rtevents.stores.quick_check import quick_check
    from rtevents.stores.remains import check_remains, is_left

    begin_anew = "rtevents stop; put a backup there, or let rtevents serve begin a new log"
    try:
        if not check_remains(database):
            _, is_running = lock_owner(paths.state_lock)
            if is_running and HintFile(database.with_name(f"{database.name}.hint")).read():
                return problem(name, f"{database}: not there any more", begin_anew)
            return ok(name, "there is none yet: the daemon will make it")
        quick_check(database)
    except StoreDamaged as error:
        remedy = begin_anew
        if is_left(database):
            remedy = (
                f"rtevents doctor --recover {database} prints what can be read; rtevents stop, "
                "then rtevents serve, puts it aside and begins a new log"
            )
        return problem(name, str(error), remedy)
    except StoreError as error:
        return problem(name, str(error), "rtevents serve refuses it, and changes nothing of it")
    return ok(name, f"{database}, {size(database.stat().st_size)}, whole")


def _shared(log: str, url: str, config: Config, paths: Paths) -> Iterator[Check]:
    """Tell how a log in Redis is, from the way there to what is kept."""
    row = _row("redis", log)
    try:
        from rtevents.stores.redis_look import look_at

        looked = asyncio.run(look_at(url, paths.log_file(log)))
    except ModuleNotFoundError:
        yield problem(row, "it needs the extra `redis`", "pip install 'rtevents[redis]'")
        return
    except (ConfigError, StoreError) as error:
        remedy = f"mend that, or correct {'store' if log == MAIN else f'logs: {log}'} in the file"
        yield problem(row, str(error), f"{remedy}; a daemon that runs goes on by itself then")
        yield from _spool(log, paths)
        return
    yield ok(row, f"{looked.version} at {looked.place} answers")
    yield from _rights(_row("rights", log), looked)
    for weakness in looked.weaknesses:
        word = next((word for word in REMEDIES if word in weakness), None)
        yield warning(_row("durability", log), weakness, word and REMEDIES[word])
    if not looked.weaknesses:
        yield ok(_row("durability", log), "what is answered is on disk")
    yield _entries(_row("log", log), looked, url)
    if log == MAIN:
        yield from _nodes(looked, config, paths)
    yield from _spool(log, paths)


def _rights(row: str, looked: Looked) -> Iterator[Check]:
    """Tell whether the user may do what a log needs, and whether anybody may now."""
    if looked.forbidden:
        rights = RIGHTS.replace("LOG", looked.log)
        words = f"the user may not give {', '.join(sorted(set(looked.forbidden)))}"
        yield problem(row, words, f"ACL SETUSER NAME {rights}")
    elif looked.forbidden is None:
        words = "it cannot be found out what the user may do: MULTI is not allowed"
        yield warning(row, words, "allow it, or see the daemon's health")
    elif looked.refused:
        yield problem(row, looked.refused, "mend that: publishing is refused until then")
    else:
        yield ok(row, "the user may do what a log needs")


def _entries(row: str, looked: Looked, url: str) -> Check:
    """Tell what is kept."""
    where = store_name(url)
    if looked.left:
        return problem(row, looked.left, "rtevents serve refuses it until then")
    if looked.entries is None:
        return ok(row, f"there is none yet in {where}: the daemon will make it")
    entries = "entry" if looked.entries == 1 else "entries"
    seqs = f" ({looked.first} to {looked.last})" if looked.entries else ""
    return ok(row, f"{looked.entries} {entries}{seqs} in {where}, epoch {looked.epoch}")


def _nodes(looked: Looked, config: Config, paths: Paths) -> Iterator[Check]:
    """Tell which daemons share the log, and whether another one goes by this one's name."""
    import msgspec

    from rtevents.core.keep import load
    from rtevents.core.node import LOST_AFTER, Node

    own = config.node or load(paths.state / "node.json", dict[str, str], {}).get("name")
    _, is_running = lock_owner(paths.state_lock)
    here = 0
    for name, (age, word) in looked.nodes.items():
        try:
            node = msgspec.json.decode(word, type=Node)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if age >= LOST_AFTER * node.interval:
            continue
        here += 1
        if name == own and not is_running:
            yield warning(
                "node",
                f"a daemon called {name!r}, as this one, was heard {span(age)} ago, and none runs "
                "here",
                "give one of the two another name (`node`), if this one was not just killed",
            )
    yield ok("nodes", f"{here} heard of late (rtevents status --all)")


def _spool(log: str, paths: Paths) -> Iterator[Check]:
    """Tell what the daemon's own producers have told, and Redis has not."""
    from rtevents.stores.look import find_end

    file = paths.state / ("spool.db" if log == MAIN else f"spool-{log}.db")
    if not file.exists():
        return
    try:
        end = find_end(file)
    except StoreError as error:
        yield problem(_row("spool", log), str(error), f"rtevents stop; move {file} away")
        return
    if count := end.last - end.first + 1:
        yield warning(
            _row("spool", log),
            f"not published yet: {count} of the daemon's own events, in {file}",
            "they are published in order when the log answers, by the daemon that then runs",
        )


def _waiting(paths: Paths) -> Iterator[Check]:
    """Tell what ``publish --spool`` has kept."""
    from rtevents.client.spool import count

    waiting, refused = count(paths.spool)
    if waiting:
        yield warning(
            "spool folder",
            f"published with --spool, and not taken yet: {waiting}, in {paths.spool}",
            "the daemon takes them when it runs and their log answers",
        )
    if refused:
        yield warning(
            "spool folder",
            f"published with --spool, and refused: {refused}, set aside as .bad in {paths.spool}",
            "look at them, and delete them then",
        )
