"""What docs/testing.md shows is run: the tutorial as a project of its own, the reference block by block."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ionbus import Broker, Call, ConnectionState, Contract, Event, connect
from ionbus.testing import FakeClock, FaultProxy, Pair, pair

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/testing.md"
TUTORIAL = "## Test your Electron"

pytest_plugins = ["pytester"]


def part(which: str) -> str:
    """The reference, or the tutorial."""
    reference, heading, tutorial = PAGE.read_text(encoding="utf-8").partition(f"\n{TUTORIAL}")
    assert heading
    return reference if which == "reference" else tutorial


def blocks(text: str, language: str) -> list[str]:
    """The fenced code of one language, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for named, code in fenced if named == language]


class Done(BaseModel):
    percent: float


class Conductor(Contract, name="conductor"):
    """What the reference's blocks talk about."""

    ping = Call(None, None)
    progress = Event(Done)
    finished = Event(None)
    failed = Event(None)


def conductor() -> Broker:
    broker = Broker(Conductor)

    @broker.handle(Conductor.ping)
    async def ping() -> None:
        pass

    return broker


async def play(at: Pair) -> None:
    """What the recorder's block waits for."""
    await at.bus.on(Conductor.finished, lambda _: None).confirmed()
    await at.broker.emit(Conductor.progress, Done(percent=50))
    await at.broker.emit(Conductor.progress, Done(percent=100))
    await asyncio.sleep(1)
    at.cut()
    await at.broker.emit(Conductor.finished)


async def run_block(code: str, **names: Any) -> dict[str, Any]:
    """Run a block of the page as the body of a coroutine; its names."""
    body = textwrap.indent(code, "    ")
    space = {**names, "connect": connect, "ConnectionState": ConnectionState, "Conductor": Conductor}
    exec(f"async def block():\n{body}\n    return locals()", space)
    made: dict[str, Any] = await space["block"]()
    return made


async def test_the_blocks_of_the_reference_run() -> None:
    pairing, timing, recording, failing, opening, proxying, planning, *others = blocks(
        part("reference"), "python"
    )
    broker = conductor()
    shared: dict[str, Any] = {"broker": broker}
    shared |= await run_block(pairing, **shared)
    await run_block(timing, **shared)
    with FakeClock() as clock:
        async with pair(broker) as at:
            playing = asyncio.create_task(play(at))
            made = await run_block(recording, at=at)
            assert made["done"] == Done(percent=100)
            await playing
        assert clock.elapsed >= 30
    shared |= await run_block(failing, **shared)
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        await run_block(opening, endpoint=endpoint, **shared)
        made = await run_block(proxying, endpoint=endpoint)
        plan = (await run_block(planning))["plan"]
        async with (
            FaultProxy(endpoint.url, on_connection=plan) as proxy,
            connect(proxy.url, token=endpoint.token) as bus,
        ):
            await bus.call(Conductor.ping)
    for code in others:
        await run_block(code)


@pytest.fixture
def darkroom(pytester: pytest.Pytester) -> pytest.Pytester:
    """The tutorial's application and its tests."""
    contracts, app, view, *tests = blocks(part("tutorial"), "python")
    [settings] = blocks(part("tutorial"), "toml")
    pytester.makepyfile(contracts=contracts, app=app, view=view, test_darkroom="\n\n".join(tests))
    (pytester.path / "pyproject.toml").write_text(settings)
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    quiet = ["-p", "no:cacheprovider", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function"]
    return project.runpytest_subprocess(*quiet, *options)


@pytest.mark.slow
def test_the_tutorials_tests_pass(darkroom: pytest.Pytester) -> None:
    count = len(re.findall(r"^async def test_", part("tutorial"), re.MULTILINE))
    assert count == 7
    run(darkroom).assert_outcomes(passed=count)


@pytest.mark.slow
def test_a_failure_in_bad_weather_shows_what_the_page_says(darkroom: pytest.Pytester) -> None:
    path = darkroom.path / "test_darkroom.py"
    tests = path.read_text()
    path.write_text(tests.replace("== list(range(1, 21))", "== list(range(21))"))
    [shown] = [block for block in blocks(part("tutorial"), "") if "ionbus faults" in block]
    [seed] = set(re.findall(r"seed[= ](\d+)", shown))
    result = run(darkroom, "-k", "bad_weather", "--ionbus-seed", seed)
    result.assert_outcomes(failed=1, deselected=6)
    # How many frames there are is the protocol's business.
    result.stdout.fnmatch_lines(
        [line if seed in line else re.sub(r"\d+", "*", line) for line in shown.splitlines()]
    )
