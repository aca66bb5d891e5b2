"""Many calls and many sessions, fewer than in `make capacity`."""

from __future__ import annotations

import pytest

from trials.capacity import Scale, capacity


@pytest.mark.slow
async def test_many_calls_under_way_and_many_sessions_are_all_answered() -> None:
    report = await capacity(Scale(calls=2_000, sessions=150, rounds=2))
    assert report.violations == []
    assert report.counts["sessions"]["answered"] == 300
