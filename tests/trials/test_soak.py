"""A short soak: real processes, over WebSocket and over the channels of a pipe (`make soak` is the long one)."""

from __future__ import annotations

import pytest

from trials.soak import Scale, soak


@pytest.mark.slow
async def test_nothing_is_lost_doubled_or_reordered_through_cuts_between_real_processes() -> None:
    report = await soak(Scale(events=8_000, calls=800, cuts=25), seed=20)
    assert report.violations == []
    for channel in ("websocket", "stdio"):
        assert report.counts[channel]["events"] >= 8_000
        assert report.counts[channel]["cuts"] >= 25
