"""What docs/delivery.md says is true: its example runs, and its bounds are those of `Limits`."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from ionbus.generated.protocol import Limits
from workshop import Workshop, end_sessions, eventually, rig

PAGE = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text()
UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "s": 1000}


async def test_the_example_is_told_of_a_lost_session() -> None:
    [example] = re.findall(r"```python\n(from ionbus import Discontinuity.*?)```", PAGE, re.DOTALL)
    async with rig(limits=Limits(retry_base_ms=1)) as at:
        told: list[object] = []
        exec(example, {"bus": at.bus, "print": told.append})
        await at.bus.on(Workshop.noticed, lambda _: None).confirmed()
        end_sessions(at.broker)
        await eventually(lambda: len(told) == 4)
        assert told == ["slow_consumer", {}, 0, 0]


def test_the_bounds_and_their_defaults_are_those_of_limits() -> None:
    limits = asdict(Limits())
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*).*? \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)
    bounds = {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"\w+", names), defaults.split(", "), strict=False)
        if name in limits
    }
    assert len(bounds) >= 15
    for name, default in bounds.items():
        number, _, unit = default.partition(" ")
        assert int(number.replace(",", "")) * UNITS.get(unit, 1) == limits[name], name
