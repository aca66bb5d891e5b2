"""One tiny workload of each kind through real processes, with what the project itself has installed."""

import pytest
from benchmarks.answers import RunFailed
from benchmarks.driver import Driver
from benchmarks.report import with_ratios
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.base import Effort

TINY = Effort(rounds=2, seconds=0.01, loop="asyncio", warm_up=0)
CONTENDERS = [SYSTEMS[name] for name in ("ionbus-websocket", "ionbus-stdio", "raw-websocket", "raw-stdio")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["call", "events-in", "events-out", "bytes-in"])
def test_a_workload_gives_figures_of_each_system(name: str) -> None:
    records = with_ratios(
        WORKLOADS[name].measure(CONTENDERS, Effort(2, 0.01, "asyncio", ("150B",), warm_up=0)), ["raw-stdio"]
    )
    assert {each.system for each in records} == {system.name for system in CONTENDERS}
    assert all(len(each.rounds) == 2 and min(each.rounds) > 0 for each in records)
    assert all(each.ratio_to.keys() == {"raw-stdio"} - {each.system} for each in records)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["stream", "latest", "fan-out-10", "fan-out-encodings", "connect", "start", "reconnect"],
)
def test_a_workload_of_ionbus_alone_gives_figures(name: str) -> None:
    workload = WORKLOADS[name]
    system = SYSTEMS["ionbus-websocket"]
    records = workload.measure([system], TINY)
    assert records
    assert {each.workload for each in records} == {name}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bulk-in", "bulk-out"])
def test_bytes_arrive_in_full(name: str) -> None:
    records = WORKLOADS[name].measure(CONTENDERS, Effort(1, 0.01, "asyncio", ("1MB of bytes",), warm_up=0))
    assert {each.system for each in records} == {system.name for system in CONTENDERS}


@pytest.mark.slow
def test_a_run_that_fails_says_which_system_and_why() -> None:
    with Driver(SYSTEMS["raw-stdio"], "asyncio") as driver:
        with pytest.raises(RunFailed, match=r"raw-stdio: TypeError: .*is not a function"):
            driver.run("juggle")
        assert driver.run("call", kind="tick", payload={"t": 1.5, "n": 1}, count=2, width=1)["seconds"] > 0
