"""When a broker is started again, what is known of it, and what is done where one hangs (docs/supervision.md)."""

import copy
import dataclasses
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from channels.conftest import Recorder, Script
from chores import Chores
from ionbus import (
    BrokerExited,
    BrokerStateChange,
    ConnectionLost,
    ConnectionState,
    LaunchedBroker,
    RestartPolicy,
    connect,
)
from ionbus.client import client
from ionbus.generated.protocol import Limits
from workshop import eventually

TESTS = Path(__file__).parents[1]
COMMAND = [sys.executable, str(TESTS / "chores.py")]
BRISK = Limits(retry_base_ms=1, retry_cap_ms=20)
AT_ONCE = RestartPolicy(delay=lambda deaths: 0.0)


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """What brokers write is theirs."""


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@asynccontextmanager
async def launched(code: str, **options: object) -> AsyncIterator[LaunchedBroker]:
    async with LaunchedBroker([sys.executable, "-c", code], **options) as broker:  # type: ignore[arg-type]
        yield broker


# Health.


async def test_health_is_plain_data_that_tells_how_it_stands() -> None:
    changes: list[BrokerStateChange] = []
    async with LaunchedBroker(COMMAND, restart=AT_ONCE) as broker:
        broker.on_state(changes.append)
        health = broker.health
        assert (health.state, health.pid, health.restarts, health.deaths) == ("starting", None, 0, 0)
        async with connect(broker, limits=BRISK) as bus:
            pid = await bus.call(Chores.pid)
            health = broker.health
            assert (health.state, health.pid, health.last_exit) == ("running", pid, None)
            assert health.last_lines == ("chores are ready",)
            assert health.uptime is not None
            assert health.uptime > 0
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: broker.health.restarts == 1)
            assert await bus.call(Chores.pid) == broker.pid
        health = broker.health
        assert (health.restarts, health.deaths) == (1, 1)
        assert dataclasses.asdict(health)["last_exit"] == {
            "code": None,
            "signal": "SIGKILL",
            "reason": f"{' '.join(COMMAND)} was ended by SIGKILL",
            "last_lines": ("chores are ready",),
        }
    health = broker.health
    assert (health.state, health.pid, health.uptime) == ("stopped", None, None)
    assert [change.after for change in changes] == [
        "running", "restarting", "running", "stopping", "stopped",
    ]  # fmt: skip


async def test_the_log_does_not_tell_the_token(recorder: type[Recorder]) -> None:
    code = (
        "import os, sys, time; token = os.environ['IONBUS_TOKEN']\n"
        "print('whole', token, file=sys.stderr, flush=True)\n"
        "os.write(2, b'x' * 4090 + token[:20].encode()); time.sleep(0.05)\n"
        "os.write(2, token[20:].encode() + b'y' * 9000)"
    )
    async with launched(code, restart=False) as broker:
        lines: list[str] = []
        broker.on_log(lines.append)
        with suppress(BrokerExited):  # it may have ended before
            await broker.open(recorder())
        await eventually(lambda: broker.state == "failed")
        assert lines[0] == "whole [token]"
        assert "".join(lines[1:]) == "x" * 4090 + "[token]" + "y" * 9000


async def test_whoever_ceases_to_listen_hears_no_more() -> None:
    broker = LaunchedBroker(COMMAND)
    heard: list[object] = []
    stops = [broker.on_state(heard.append), broker.on_log(heard.append)]
    for stop in stops:
        stop()
    with pytest.raises(TypeError, match="a watcher is a function"):
        broker.on_log("no function")  # type: ignore[arg-type]
    await broker.stop()
    assert heard == []


# Death.


async def test_a_broker_is_given_up_after_too_many_deaths_and_so_is_its_bus() -> None:
    delays: list[int] = []

    def delay(deaths: int) -> float:
        delays.append(deaths)
        return 0.001

    async with launched("raise SystemExit(7)", restart=RestartPolicy(limit=3, delay=delay)) as broker:
        async with connect(broker, wait=False, limits=BRISK) as bus:
            with pytest.raises(ConnectionLost, match="ended with exit code 7"):
                await bus.call(Chores.pid)
            assert bus.state == ConnectionState.CLOSED
        assert delays == [1, 2, 3]
        assert (broker.state, broker.health.deaths, broker.health.restarts) == ("failed", 4, 3)
        with pytest.raises(BrokerExited) as raised:
            async with connect(broker):
                pass
        assert raised.value.exit_code == 7


async def test_its_clients_do_not_sit_out_their_back_off_once_it_is_there_again() -> None:
    patient = Limits(retry_base_ms=600_000, retry_cap_ms=600_000)
    async with (
        LaunchedBroker(COMMAND, restart=AT_ONCE) as broker,
        connect(broker, limits=patient) as bus,
    ):
        pid = await bus.call(Chores.pid)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: broker.health.restarts == 1)
        assert await bus.call(Chores.pid, timeout=10) != pid


async def test_it_does_not_come_back_where_it_was_told_not_to() -> None:
    async with LaunchedBroker(COMMAND, restart=False) as broker, connect(broker) as bus:
        os.kill(await bus.call(Chores.pid), signal.SIGKILL)
        await eventually(lambda: bus.state == ConnectionState.CLOSED)
        assert (broker.state, broker.pid) == ("failed", None)


async def test_a_bus_of_a_broker_that_was_stopped_is_closed() -> None:
    broker = LaunchedBroker(COMMAND)
    async with connect(broker) as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3
        await broker.stop()
        await eventually(lambda: bus.state == ConnectionState.CLOSED)
        with pytest.raises(ConnectionLost, match="was stopped"):
            await bus.call(Chores.add, [1, 2])


async def test_connecting_to_a_broker_that_dies_tells_how() -> None:
    code = "import sys; print('no licence', file=sys.stderr); sys.exit(3)"
    with pytest.raises(BrokerExited, match="ended with exit code 3\nno licence") as raised:
        async with connect(stdio=[sys.executable, "-c", code]):
            pass
    error = copy.copy(raised.value)
    assert (error.exit_code, error.exit_signal, error.last_lines) == (3, None, ["no licence"])


async def test_a_broker_that_never_answers_is_ended_and_counts_as_dead() -> None:
    async with launched("import time; time.sleep(600)", start_timeout=0.2, restart=False) as broker:
        with pytest.raises(BrokerExited, match=r"has not answered within 0\.2 s of its start, and was ended"):
            async with connect(broker):
                pass
        await eventually(lambda: broker.state == "failed")
        assert broker.pid is None


async def test_one_that_takes_its_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a greeting may take: that does not count before the broker is there."""
    monkeypatch.setattr(client, "Limits", lambda: Limits(handshake_ms=100))
    code = f"import runpy, time; time.sleep(0.5); runpy.run_path({COMMAND[1]!r}, run_name='__main__')"
    async with launched(code) as broker, connect(broker) as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3


async def test_a_mistake_in_the_policy_is_told_to_who_waits() -> None:
    policy = RestartPolicy(delay=lambda deaths: 1 / 0)
    async with launched("raise SystemExit(7)", restart=policy) as broker:
        async with connect(broker, wait=False, limits=BRISK) as bus:
            with pytest.raises(ConnectionLost, match="division by zero"):
                await bus.call(Chores.pid)
        assert broker.state == "failed"


# Restart.


async def test_a_restart_is_no_death() -> None:
    changes: list[BrokerStateChange] = []
    async with LaunchedBroker(COMMAND, restart=False) as broker, connect(broker, limits=BRISK) as bus:
        pid = await bus.call(Chores.pid)
        broker.on_state(changes.append)
        broker.restart("the settings have changed")
        await eventually(lambda: broker.pid not in (None, pid))
        assert await bus.call(Chores.pid) == broker.pid
        assert changes == [
            BrokerStateChange("running", "restarting", "the settings have changed"),
            BrokerStateChange("restarting", "running"),
        ]
        assert (broker.health.restarts, broker.health.deaths) == (1, 0)


async def test_a_restart_gives_a_chance_to_one_that_was_given_up(tmp_path: Path) -> None:
    flag = tmp_path / "may start"
    code = (
        f"import runpy, pathlib; pathlib.Path({str(flag)!r}).exists() or exit(3)\n"
        f"runpy.run_path({COMMAND[1]!r}, run_name='__main__')"
    )
    async with launched(code, restart=False) as broker:

        def again(change: BrokerStateChange) -> None:
            if change.after == "failed":
                flag.touch()
                broker.restart()

        broker.on_state(again)
        with pytest.raises(BrokerExited, match="exit code 3"):
            async with connect(broker):
                pass
        async with connect(broker) as bus:
            assert await bus.call(Chores.add, [1, 2]) == 3


# Watching files.


@pytest.mark.slow
async def test_a_change_starts_it_anew_and_mends_one_that_cannot_start(tmp_path: Path) -> None:
    app = tmp_path / "app" / "inner" / "app.py"
    app.parent.mkdir(parents=True)
    app.write_text("from chores import broker; broker.run()")
    env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"}
    lines: list[str] = []
    async with LaunchedBroker(
        [sys.executable, str(app)], cwd=tmp_path, env=env, watch=["app"], restart=False
    ) as broker:
        broker.on_log(lines.append)
        async with connect(broker, limits=BRISK) as bus:
            first = await bus.call(Chores.pid)
            app.write_text("from chores import broker; broker.run()  # changed")
            await eventually(lambda: broker.pid not in (None, first))
            assert "ionbus: app.py changed; the broker is started anew" in lines
            assert await bus.call(Chores.pid) == broker.pid

            app.write_text("no python")
            await eventually(lambda: any("again when a file changes" in line for line in lines))
            await eventually(lambda: broker.health.uptime is None)

            app.write_text("from chores import broker; broker.run()  # mended")
            assert await bus.call(Chores.add, [1, 2]) == 3


@pytest.mark.parametrize(
    ("watch", "error"), [(["no-such-folder"], "no-such-folder is not there"), ("src", "watch is a list")]
)
def test_what_cannot_be_watched(watch: list[str] | str, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        LaunchedBroker(COMMAND, watch=watch)


# "stdio:" as a URL.


async def test_a_url_may_be_a_command(tmp_path: Path) -> None:
    program = tmp_path / "my program.py"
    program.write_text(f"import sys; sys.argv = sys.argv[1:]; exec(open({COMMAND[1]!r}).read())")
    async with connect(f"stdio:{shlex.quote(sys.executable)} {shlex.quote(str(program))} 'two words'") as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3


@pytest.mark.parametrize(
    ("url", "problem"), [("stdio:", "a command is missing"), ("stdio:python 'app.py", "No closing quotation")]
)
async def test_a_url_that_is_no_command(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        async with connect(url):
            pass


async def test_only_who_writes_connect_can_name_a_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An address that comes from elsewhere starts no programs."""
    url = f"stdio:touch {tmp_path / 'touched'}"
    monkeypatch.setenv("IONBUS_URL", url)
    for source in (None, lambda: url):
        with pytest.raises((ConnectionLost, ValueError), match="is no URL of a broker"):
            async with connect(source):
                pass
    assert not (tmp_path / "touched").exists()


async def test_a_file_of_records_is_no_broker(script: Script) -> None:
    with pytest.raises(TypeError, match="one of them"):
        async with connect("stdio:python -m myapp", stdio=script("")):
            pass
