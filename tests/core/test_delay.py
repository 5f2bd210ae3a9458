"""How long entries are on their way."""

from __future__ import annotations

import time

from rtevents.core.delay import BOUNDS, Delays, Histogram


def test_a_bucket_holds_all_that_took_at_most_so_long() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.002, 0.3, 60.0):
        histogram.add(seconds)

    buckets = dict(histogram.buckets())
    assert [*buckets] == [*map(str, BOUNDS), "+Inf"]
    assert (buckets["0.0005"], buckets["0.001"], buckets["0.0025"]) == (0, 1, 2)
    assert (buckets["0.5"], buckets["10.0"], buckets["+Inf"]) == (3, 3, 4)
    assert histogram.sum == 60.303


def test_a_transaction_is_counted_when_a_group_has_written_its_last_entry() -> None:
    delays = Delays()
    now = time.monotonic()
    for last, age in ((3, 40.0), (5, 20.0), (9, 4.0)):
        delays.came(last, now - age)

    delays.delivered(after=3, until=6)  # the third transaction is written in part
    assert sum(delays.histogram.counts) == 1
    assert delays.histogram.sum >= 20
    delays.delivered(after=6, until=9)
    delays.delivered(after=9, until=9)
    assert sum(delays.histogram.counts) == 2


def test_what_is_only_published_again_is_no_transaction_to_deliver() -> None:
    delays = Delays()
    delays.came(3, time.monotonic())
    delays.came(3, time.monotonic())
    delays.delivered(after=0, until=3)

    assert sum(delays.histogram.counts) == 1
