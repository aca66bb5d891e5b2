"""A short run with one client that reads nothing; times are for `make stalled` to judge."""

from __future__ import annotations

import pytest

from trials.stalled import Scale, stalled


@pytest.mark.slow
async def test_one_client_that_reads_nothing_costs_the_others_no_event_and_the_broker_no_more_than_its_bound() -> (
    None
):
    report = await stalled(
        Scale(
            events=7_000, clients=20, pairs=1, per_second=4_000, size=8_000, lead_in=600, judges_times=False
        )
    )
    assert report.violations == []
    assert report.counts["events_dropped"]["load.tick"]["slow_consumer"] > 0
    assert report.counts["calls_beside_a_stalled_one"]["count"] > 0
