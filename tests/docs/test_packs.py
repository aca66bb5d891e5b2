"""docs/packs.md: its example runs, and it names every event of both contracts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ionbus import connect
from ionbus.packs.ui import Ui
from ionbus.packs.workflow import FlowFinished, Workflow

PAGE = (Path(__file__).parents[2] / "docs" / "packs.md").read_text()


async def test_the_example_tells_a_run() -> None:
    [example] = re.findall(r"```python\n(from ionbus import Broker.*?)```", PAGE, re.DOTALL)
    here: dict[str, Any] = {}
    exec(example, here)
    async with connect(here["broker"]) as bus, bus.events(Workflow.finished) as events:
        await here["run"]("e1")
        finished: FlowFinished = await anext(events)
        assert (finished.execution_id, finished.summary) == ("e1", "12 files")


def test_every_event_is_named() -> None:
    named = set(re.findall(r"`((?:workflow|ui)\.[\w.]+)`", PAGE))
    members = [*Workflow.__contract__.members.values(), *Ui.__contract__.members.values()]
    assert {member.name for member in members} == named
