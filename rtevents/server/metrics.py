"""GET /metrics: the figures of the daemon as Prometheus reads them."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rtevents import __version__
from rtevents.core.delay import Histogram
from rtevents.core.stats import Snapshot
from rtevents.server.keys import House

KINDS = ("sse", "ndjson", "ws", "memory")
"""How a reader may be connected."""

REASONS = (
    "closed", "lost", "slow", "inactive", "no pong", "ended", "changed", "error", "shutdown",
)  # fmt: skip
"""Why a connection may have ended: `closed` and `lost` by its reader, the others by the daemon."""

STATUSES = ("ok", "degraded", "failed")
"""What the verdict may be."""


class Figures(Collector):
    """
    What one daemon counts; it is looked at when it is asked for.

    No label names an event, a project, a connection or a token: there may be any number of those.

    Args:
        house: The rooms.
    """

    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Iterator[Metric]:
        """Yield every figure of this moment."""
        snapshot = self._house.service.statistics()
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("rtevents_build", "What runs.", value=build)
        yield from self._events(snapshot)
        yield from _queue(snapshot)
        yield from _log(snapshot)
        yield from self._logs()
        yield from self._nodes()
        yield from self._connections(snapshot)
        yield from self._sinks()
        yield from self._health(snapshot)

    def _events(self, snapshot: Snapshot) -> Iterator[Metric]:
        counters, counts = self._house.service.counters, snapshot.events
        yield _labelled(
            CounterMetricFamily(
                "rtevents_events_published", "Events that were stored.", labels=["type"]
            ),
            Counter(counts["by_type"]),
        )
        for name, words in (
            ("duplicates", "Events that were published again, and are stored once."),
            ("refused", "Events, or batches of them, that were not stored."),
            ("delivered", "Entries that were written to connections, each for each of them."),
        ):
            yield CounterMetricFamily(f"rtevents_events_{name}", words, value=counts[name])
        yield _histogram(
            "rtevents_store_append_seconds", "Seconds to store a transaction.", counters.appends
        )
        yield _histogram(
            "rtevents_delivery_seconds",
            "Seconds from a publisher's call until its event is written to a group of readers, "
            "once for each transaction and group.",
            counters.delays.histogram,
        )

    def _logs(self) -> Iterator[Metric]:
        """Yield what is of each log, the main one too; all else is of that alone."""
        each = {house.log: house.service for house in self._house.each}
        spools = {name: self._house.spools.get(name) for name in each}
        counts = {name: service.counters.of_events() for name, service in each.items()}
        for name, words, values in (
            ("newest_seq", "The last seq that each log has given.",
             {log: service.log.last for log, service in each.items()}),
            ("store_up", "Whether the store of each log takes events: 1, or 0.",
             {log: int(service.trouble is None) for log, service in each.items()}),
            ("spooled_events", "Events of this machine that wait on disk until each log answers.",
             {log: spool.waiting if spool else 0 for log, spool in spools.items()}),
            ("spooled_bytes", "Bytes that those take.",
             {log: spool.size_bytes if spool else 0 for log, spool in spools.items()}),
            ("spool_capacity_bytes", "Bytes that may wait so; 0 where nothing is kept.",
             {log: spool.max_bytes if spool else 0 for log, spool in spools.items()}),
        ):  # fmt: skip
            gauge = GaugeMetricFamily(f"rtevents_logs_{name}", words, labels=["log"])
            yield _labelled(gauge, Counter(values))
        for name, words in (
            ("published", "Events that were stored in each log."),
            ("refused", "Events, or batches of them, that each log has not stored."),
        ):
            counter = CounterMetricFamily(f"rtevents_logs_events_{name}", words, labels=["log"])
            yield _labelled(counter, Counter({log: counts[log][name] for log in counts}))

    def _nodes(self) -> Iterator[Metric]:
        """Yield how many daemons share the main log, as they were heard last."""
        total = self._house.nodes().total
        for name, words, value in (
            ("nodes", "Daemons that share the main log, this one too.", total.nodes),
            ("nodes_lost", "Those that were not heard though they could be.", total.lost),
            ("nodes_unknown", "Those that cannot be heard, as the log is away.", total.unknown),
        ):
            yield GaugeMetricFamily(f"rtevents_{name}", words, value=value)

    def _connections(self, snapshot: Snapshot) -> Iterator[Metric]:
        service = self._house.service
        readers = list(service.connections.values())
        kinds = Counter(each.kind for each in readers)
        yield _labelled(
            GaugeMetricFamily("rtevents_connections", "Open connections.", labels=["kind"]),
            kinds,
            KINDS,
        )
        counts = snapshot.connections
        yield CounterMetricFamily(
            "rtevents_connections_opened", "Connections since the start.", value=counts["total"]
        )
        yield CounterMetricFamily(
            "rtevents_connections_cleaned_up",
            "Connections that were closed since nothing came or went.",
            value=counts["cleaned_up"],
        )
        yield _labelled(
            CounterMetricFamily(
                "rtevents_connections_closed", "Connections that have ended.", labels=["reason"]
            ),
            service.counters.closed,
            REASONS,
        )
        yield GaugeMetricFamily(
            "rtevents_connections_lag_events",
            "Entries by which the connection furthest behind is behind.",
            value=max([0, *(service.log.last - each.position for each in readers)]),
        )

    def _sinks(self) -> Iterator[Metric]:
        sinks = self._house.sinks.all()
        for name, kind, words in (
            ("delivered", CounterMetricFamily, "Events that a sink has done."),
            ("failures", CounterMetricFamily, "Attempts of a sink that failed."),
            ("lag", GaugeMetricFamily, "Entries that a sink has not done, or not looked at."),
            ("dead", GaugeMetricFamily, "Dead letters that a sink keeps."),
        ):
            unit = "_events" if name == "lag" else "_letters" if name == "dead" else ""
            counts = Counter({each["name"]: each[name] for each in sinks})
            yield _labelled(kind(f"rtevents_sink_{name}{unit}", words, labels=["sink"]), counts)

    def _health(self, snapshot: Snapshot) -> Iterator[Metric]:
        service = self._house.service
        yield GaugeMetricFamily(
            "rtevents_handlers", "Registered handlers.", value=snapshot.handlers["registered"]
        )
        yield CounterMetricFamily(
            "rtevents_handler_failures",
            "Entries at which a handler failed.",
            value=snapshot.handlers["failures"],
        )
        yield CounterMetricFamily(
            "rtevents_errors", "Store and handler failures.", value=service.counters.errors.total
        )
        yield GaugeMetricFamily(
            "rtevents_event_loop_lag_seconds",
            "Seconds by which the event loop was late in the last minute, at most.",
            value=snapshot.loop_lag_ms / 1000,
        )
        producers = GaugeMetricFamily(
            "rtevents_producers", "What watches projects.", labels=["kind", "state"]
        )
        for labels, count in sorted(self._house.projects.producers().items()):
            producers.add_metric(labels, count)
        yield producers
        status = service.health().status
        yield StateSetMetricFamily(
            "rtevents_health_status",
            "The daemon's verdict on itself.",
            value={each: each == status for each in STATUSES},
        )


def _queue(snapshot: Snapshot) -> Iterator[Metric]:
    queue = snapshot.queue
    for name, words, value in (
        ("events", "Events that wait to be stored.", queue["size"]),
        ("bytes", "Bytes that wait to be stored.", queue["bytes"]),
        ("capacity_events", "Events that may wait to be stored.", queue["max_size"]),
        ("capacity_bytes", "Bytes that may wait to be stored.", queue["max_bytes"]),
    ):
        yield GaugeMetricFamily(f"rtevents_queue_{name}", words, value=value)


def _log(snapshot: Snapshot) -> Iterator[Metric]:
    log = snapshot.log
    for name, words, value in (
        ("oldest_seq", "The first seq that is kept.", log["oldest"]),
        ("newest_seq", "The last seq that was given.", log["newest"]),
        ("window_events", "Newest entries held in memory.", log["window_events"]),
        ("window_bytes", "Bytes that those take.", log["window_bytes"]),
    ):
        yield GaugeMetricFamily(f"rtevents_log_{name}", words, value=value)


def _labelled(
    metric: CounterMetricFamily | GaugeMetricFamily,
    counts: Counter[str],
    always: Sequence[str] = (),
) -> Metric:
    """Return a figure with a value for each label, and for those that are there in any case."""
    for label in dict.fromkeys([*always, *counts]):
        metric.add_metric([label], counts[label])
    return metric


def _histogram(name: str, words: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, words, buckets=histogram.buckets(), sum_value=histogram.sum)


def registry_of(house: House) -> CollectorRegistry:
    """Return the registry of a house: its own, so that nothing else is told with it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Figures(house))
    return registry


async def metrics(request: web.Request) -> web.Response:
    """Return the figures of this moment for Prometheus, in its text format or OpenMetrics."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    registry = request.app[REGISTRY]
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})


REGISTRY = web.AppKey("registry", CollectorRegistry)
