"""A little of `make kill-test`. Electron's part is in e2e/electron/kill.test.ts, since it needs a screen."""

import random

import pytest

from trials.kill import run
from trials.report import Report


@pytest.mark.slow
async def test_nothing_is_left_of_parents_that_are_killed() -> None:
    report = Report("kill", seed=1)
    await run(report, 3, ["node", "python"], random.Random(1), limit=5.0)
    assert report.violations == []
    assert [report.counts[parent]["left"] for parent in ("node", "python")] == [0, 0]
