"""The pytest plugin, as a project sees it that has installed ionbus."""

from __future__ import annotations

import inspect
import re
import sys

import pytest

from ionbus.testing import pair
from ionbus.testing.fixtures import PairOptions

pytest_plugins = ["pytester"]

APPLICATION = """
from ionbus import Broker, Call, Context, Contract, Event


class Clocks(Contract, name="clocks"):
    wind = Call(int, str)
    struck = Event(int)


broker = Broker(Clocks)


@broker.handle(Clocks.wind)
async def wind(hours: int, ctx: Context) -> str:
    for hour in range(hours):
        await ctx.emit(Clocks.struck, hour)
    return "wound"
"""

USES_EVERYTHING = """
import asyncio
from ionbus import CallTimeout, ConnectionState
from application import Clocks, broker

{mark}
async def test_everything(ionbus_pair, ionbus_clock, ionbus_recorder, ionbus_faults):
    loop = asyncio.get_running_loop()
    began = loop.time()
    at = await ionbus_pair(broker, faults=ionbus_faults)
    ionbus_recorder.record(at.bus, Clocks.struck)
    await at.bus.call(Clocks.wind, 2)
    assert await ionbus_recorder.wait_for_all([Clocks.struck, Clocks.struck]) == [0, 1]
    ionbus_faults.stall()
    await ionbus_clock.advance(20)
    await ionbus_recorder.wait_for(ConnectionState.UNRESPONSIVE)
    assert loop.time() == began + 20

{mark}
async def test_the_next_one_begins_anew(ionbus_pair, ionbus_recorder):
    assert not broker.is_served
    at = await ionbus_pair(broker)
    other = await ionbus_pair(broker)
    assert ionbus_recorder.recorded == []
    assert len(broker.sessions) == 2


class TestInAClass:
    {mark}
    async def test_a_method(self, ionbus_clock):
        await ionbus_clock.drive(asyncio.sleep(60))
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(application=APPLICATION)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    # In a process of its own: what this one has imported does not count.
    return project.runpytest_subprocess("-p", "no:cacheprovider", *options)


@pytest.mark.parametrize(
    ("options", "mark", "scope"),
    [
        (["-o", "asyncio_mode=auto"], "", "function"),
        (["-o", "asyncio_mode=strict"], "@pytest.mark.asyncio", "function"),
        (["-o", "asyncio_mode=strict"], '@pytest.mark.asyncio(loop_scope="module")', "module"),
        (["-p", "no:asyncio", "-o", "addopts="], "@pytest.mark.anyio", "anyio"),
    ],
    ids=["asyncio, auto", "asyncio, strict", "asyncio, one loop for a module", "anyio"],
)
def test_the_fixtures_work_whoever_runs_coroutines(
    pytester: pytest.Pytester, options: list[str], mark: str, scope: str
) -> None:
    pytester.makepyfile(application=APPLICATION)
    pytester.makepyfile(test_it="import pytest\n" + USES_EVERYTHING.format(mark=mark))
    if scope == "anyio":
        pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    run(pytester, *options).assert_outcomes(passed=3)


@pytest.mark.slow
def test_a_failure_shows_seed_faults_and_recording_and_the_seed_repeats_them(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_it="""
        from application import Clocks, broker

        async def test_it(ionbus_pair, ionbus_clock, ionbus_recorder, ionbus_faults):
            ionbus_faults.set(drop=0.2, after=3)
            at = await ionbus_pair(broker, faults=ionbus_faults)
            await ionbus_recorder.record(at.bus, Clocks.struck)
            for hour in range(20):
                await ionbus_clock.drive(at.bus.call(Clocks.wind, 1))
            assert False, [str(each) for each in ionbus_faults.injected]
        """
    )
    first = run(project, "-o", "asyncio_mode=auto")
    first.assert_outcomes(failed=1)
    shown = first.stdout.str()
    found = re.search(r"repeat it: pytest 'test_it\.py::test_it' --ionbus-seed (\d+)", shown)
    assert found, shown
    assert "ionbus faults" in shown
    assert f"Faults(seed={found[1]}, drop=0.2, after=3)" in shown
    assert re.search(r"injected: \d+ drop", shown)
    assert "ionbus recorder" in shown
    assert "bus  clocks.struck  0" in shown
    again = run(project, "-o", "asyncio_mode=auto", "--ionbus-seed", found[1])
    assert f"Faults(seed={found[1]}, drop=0.2, after=3)" in again.stdout.str()


def test_a_proxy_is_closed_with_the_test_and_has_the_seed(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        from application import Clocks, broker
        from ionbus import connect

        async def test_it(ionbus_proxy, ionbus_recorder):
            async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
                proxy = await ionbus_proxy(endpoint.url)
                assert proxy.seed == 7
                async with connect(proxy.url, token=endpoint.token) as bus:
                    assert await bus.call(Clocks.wind, 1) == "wound"
            assert False
        """
    )
    result = run(project, "-o", "asyncio_mode=auto", "--ionbus-seed", "7")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*repeat it: pytest 'test_it.py::test_it' --ionbus-seed 7"])


def test_what_passes_shows_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        async def test_it(ionbus_faults):
            assert ionbus_faults.seed == 7
        """
    )
    result = run(project, "-o", "asyncio_mode=auto", "--ionbus-seed", "7", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*ionbus faults*")


def test_everything_is_closed_and_time_runs_again_where_a_test_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import asyncio, time
        import pytest
        from application import Clocks, broker

        pytestmark = pytest.mark.asyncio(loop_scope="module")

        async def test_fails(ionbus_pair, ionbus_clock):
            at = await ionbus_pair(broker)
            at.half_open()
            await ionbus_clock.advance(1000)
            assert False

        async def test_after_it():
            assert not broker.is_served
            await asyncio.sleep(0.001)
            assert abs(asyncio.get_running_loop().time() - time.monotonic()) < 60
        """
    )
    run(project, "-o", "asyncio_mode=auto").assert_outcomes(failed=1, passed=1)


def test_sync_tests_have_what_needs_no_loop_and_are_told_about_the_rest(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import asyncio
        from application import Clocks, broker

        def test_alone(ionbus_faults, ionbus_recorder, ionbus_clock):
            async def main():
                with ionbus_clock:
                    await ionbus_clock.drive(asyncio.sleep(60))
            asyncio.run(main())
            assert ionbus_recorder.recorded == []

        def test_pair(ionbus_pair):
            async def main():
                await ionbus_pair(broker)
            asyncio.run(main())
        """
    )
    result = run(project, "-o", "asyncio_mode=auto")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: ionbus_pair and its like close what they make where*"])


def test_it_costs_nothing_until_it_is_used(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        test_it="""
        import sys

        def test_nothing_is_imported(pytestconfig):
            assert pytestconfig.pluginmanager.hasplugin("ionbus_pytest")
            heavy = {"ionbus", "pydantic", "pydantic_core", "websockets", "msgpack"}
            assert not heavy & set(sys.modules)

        def test_a_fixture_imports(ionbus_faults):
            assert "ionbus" in sys.modules
        """
    )
    # Other plugins may import what they want: only this one.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run(pytester, "-p", "ionbus_pytest").assert_outcomes(passed=2)


def test_it_imports_only_what_pytest_has_imported(pytester: pytest.Pytester) -> None:
    program = "import sys, pytest; before = set(sys.modules); import ionbus_pytest; print(set(sys.modules) - before)"
    result = pytester.run(sys.executable, "-c", program)
    result.stdout.fnmatch_lines(["{'ionbus_pytest'}"])


def test_it_is_registered(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--fixtures", "-v")
    for name in ("pair", "clock", "recorder", "faults", "proxy"):
        result.stdout.fnmatch_lines([f"ionbus_{name}*ionbus_pytest.py*"])
    run(pytester, "--help").stdout.fnmatch_lines(["*--ionbus-seed=N*"])


def test_the_factory_takes_what_pair_takes() -> None:
    options = [*inspect.signature(pair).parameters][1:]
    assert [*PairOptions.__annotations__] == options
