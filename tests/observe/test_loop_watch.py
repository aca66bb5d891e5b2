"""The loop's watch: how late it is, and what holds it."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from types import FrameType

import pytest

from ionbus.observe.histogram import Histogram
from ionbus.observe.loop_watch import LoopWatch, place_of
from workshop import eventually


@pytest.fixture
async def watch() -> AsyncIterator[LoopWatch]:
    watch = LoopWatch(asyncio.get_running_loop(), Histogram())
    yield watch
    watch.stop()


def hold(watch: LoopWatch) -> None:
    """Hold the loop until the watch has seen that; ten seconds at most."""
    ends = time.monotonic() + 10
    while watch.current is None and time.monotonic() < ends:
        pass


async def test_what_holds_the_loop_is_named(watch: LoopWatch) -> None:
    hold(watch)
    await eventually(lambda: watch.blocks, "the beat that is overdue")
    block = watch.blocks[0]
    assert block.where.startswith("hold() at observe/test_loop_watch.py:")
    assert block.seconds >= 0.1
    assert watch.blocked >= 0.1e9


async def test_a_block_that_goes_on_is_seen_from_another_thread(watch: LoopWatch) -> None:
    seen: list[str] = []

    def look() -> None:
        ends = time.monotonic() + 10
        while not seen and time.monotonic() < ends:
            if watch.current is not None:
                seen.append(watch.current.where)

    other = threading.Thread(target=look)
    other.start()
    other.join()
    assert "test_loop_watch.py" in seen[0]


async def test_a_loop_that_runs_is_not_blocked() -> None:
    lag = Histogram()
    watch = LoopWatch(asyncio.get_running_loop(), lag)
    await eventually(lambda: sum(lag.counts) >= 3, "the third beat")
    watch.stop()


async def test_what_was_stopped_leaves_no_thread() -> None:
    watch = LoopWatch(asyncio.get_running_loop(), Histogram())
    watch.stop()
    assert not any(thread.name == "ionbus-loop-watch" for thread in threading.enumerate())


def test_the_place_is_the_applications_and_not_the_librarys() -> None:
    places: list[str] = []

    def default(_: object) -> str:
        places.append(place_of(sys._getframe(1)))
        return ""

    json.dumps(object(), default=default)
    assert places[0].startswith(
        "test_the_place_is_the_applications_and_not_the_librarys() at observe/test_loop_watch.py:"
    )


async def test_below_the_loop_nothing_is_blamed() -> None:
    """What runs is the loop's or the library's own: then that is told, not whoever has started the loop."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and "asyncio" not in frame.f_code.co_filename:
        frame = frame.f_back
    assert frame is not None
    assert "asyncio/" in place_of(frame)


async def test_what_the_application_calls_of_asyncio_is_the_applications() -> None:
    places: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: places.append(place_of(sys._getframe(1))))
    loop.call_exception_handler({})
    assert places[0].startswith(
        "test_what_the_application_calls_of_asyncio_is_the_applications() at observe/test_loop_watch.py:"
    )
