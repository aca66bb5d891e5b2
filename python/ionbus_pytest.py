"""The pytest plugin of ionbus: its fixtures are there wherever ionbus is installed (docs/testing.md).

It stands beside the package `ionbus`, not in it: importing anything in there imports all that a broker needs. This
module imports nothing that pytest has not imported, until a test asks for one of the fixtures.

What they make belongs to one event loop, that of the test. So the fixtures are ordinary functions, whichever plugin runs
coroutines (pytest-asyncio in either mode, anyio): the test's own coroutine is wrapped, the clock is installed where that begins,
and everything is closed where it ends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ionbus.testing import FakeClock, Faults, Recorder
    from ionbus.testing.fixtures import Kit, PairFactory, ProxyFactory

_KIT: pytest.StashKey[Kit] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--ionbus-seed`."""
    parser.getgroup("ionbus").addoption(
        "--ionbus-seed",
        type=int,
        metavar="N",
        help="the seed of ionbus_faults: repeats what a failed test has reported",
    )


@pytest.fixture
def ionbus_pair(request: pytest.FixtureRequest) -> PairFactory:
    """A broker and its clients in memory: `pair = await ionbus_pair(broker)`. It is closed where the test ends."""
    return _kit(request).pair


@pytest.fixture
def ionbus_clock(request: pytest.FixtureRequest) -> FakeClock:
    """A clock that stands still until the test moves it: `await ionbus_clock.advance(30)`."""
    return _kit(request).take_clock()


@pytest.fixture
def ionbus_recorder(request: pytest.FixtureRequest) -> Recorder:
    """Records events and state changes: `ionbus_recorder.record(bus, ...)`. A failure shows what it has."""
    return _kit(request).take_recorder()


@pytest.fixture
def ionbus_faults(request: pytest.FixtureRequest) -> Faults:
    """Faults with a seed, which a failure shows and `--ionbus-seed` repeats: `ionbus_faults.set(cut=0.01)`."""
    return _kit(request).take_faults()


@pytest.fixture
def ionbus_proxy(request: pytest.FixtureRequest) -> ProxyFactory:
    """A TCP proxy whose connections fail: `proxy = await ionbus_proxy(endpoint.url)`. It is closed where the test ends."""
    return _kit(request).proxy


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let the kit begin and end inside the test's own coroutine."""
    kit = item.stash.get(_KIT, None)
    if kit is None or not isinstance(item, pytest.Function):
        return (yield)
    function = item.obj
    if inspect.iscoroutinefunction(function):
        item.obj = _around(function, kit)
    try:
        result = yield
    finally:
        item.obj = function
    kit.check_closed()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a failure show the seed, the faults and the recording."""
    report = yield
    kit = item.stash.get(_KIT, None)
    if kit is not None and report.failed:
        report.sections += [(f"ionbus {name}", text) for name, text in kit.told(item.nodeid)]
    return report


def _kit(request: pytest.FixtureRequest) -> Kit:
    from ionbus.testing.fixtures import Kit  # noqa: PLC0415 - see the module

    stash: pytest.Stash = request.node.stash
    return stash.setdefault(_KIT, Kit(request.config.getoption("--ionbus-seed")))


def _around(function: Callable[..., Coroutine[Any, Any, Any]], kit: Kit) -> Callable[..., Any]:
    @functools.wraps(function)
    async def test(*arguments: Any, **fixtures: Any) -> Any:
        async with kit:
            return await function(*arguments, **fixtures)

    return test
