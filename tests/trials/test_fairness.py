"""A short run beside large transfers, floods and a client that reads nothing; times are for `make fairness` to judge."""

from __future__ import annotations

import pytest

from trials.fairness import Scale, fairness


@pytest.mark.slow
async def test_nobody_loses_a_channel_beside_large_transfers_floods_and_a_neighbour_that_reads_nothing() -> (
    None
):
    report = await fairness(Scale(megabytes=20, clients=8, baseline_seconds=0.5, judges_times=False))
    assert report.violations == []
    assert report.counts["beside_the_noise"]["count"] > 0
