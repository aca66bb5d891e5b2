"""Brokers in processes of their own, over stdio: what they print, how they end, and how their clients go on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chores import Chores
from ionbus import Call, ConnectionLost, ConnectionState, NotAllowed, SessionLost, Unauthenticated, connect
from ionbus.channels.supervisor import LaunchedBroker
from ionbus.contract.builtin import Ionbus, WindowOrigin
from ionbus.generated.protocol import Limits
from workshop import eventually, opened_bus

TESTS = Path(__file__).parent
COMMAND = [sys.executable, str(TESTS / "chores.py")]
BRISK = Limits(retry_base_ms=1, retry_cap_ms=20)


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_a_child_serves_and_ends_with_its_client() -> None:
    async with connect(stdio=COMMAND) as bus:
        pid = await bus.call(Chores.pid)
        assert pid != os.getpid()
        assert await bus.call(Chores.add, [1, 2, 3]) == 6
    await eventually(lambda: not is_alive(pid))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_it_runs_on_uvloop_where_that_is_installed(loop: str) -> None:
    hide = "" if loop == "uvloop" else "sys.modules['uvloop'] = None; "
    code = f"import runpy, sys; {hide}runpy.run_path({COMMAND[1]!r}, run_name='__main__')"
    data = os.urandom(1_000_000)
    async with connect(stdio=[sys.executable, "-c", code]) as bus:
        assert await bus.call(Chores.loop) == loop
        assert await bus.call(Chores.echo, data) == data


async def test_a_payload_larger_than_all_that_may_wait_for_the_pipe() -> None:
    changes: list[str] = []
    data = os.urandom(1_000_000) * 40
    async with connect(stdio=COMMAND) as bus:
        bus.on_state(lambda change: changes.append(change.reason))
        assert await bus.call(Chores.echo, data) == data
        assert changes == []


async def test_what_a_handler_prints_harms_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async with connect(stdio=COMMAND) as bus:
        await bus.call(Chores.say, "hello")
        assert await bus.call(Chores.add, [1, 2]) == 3
    printed = capfd.readouterr().err
    assert "hello\n" in printed
    assert "hello again\n" in printed
    assert "hello on descriptor 1\n" in printed


async def test_what_is_printed_before_the_broker_runs_harms_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with connect(stdio=COMMAND, env={"PYTHONUNBUFFERED": "1"}) as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3
    assert "chores are ready\n" in capfd.readouterr().err


async def test_a_childs_child_reads_nothing_and_prints_nowhere() -> None:
    async with connect(stdio=COMMAND) as bus:
        assert await bus.call(Chores.ask_child) == "read 0"
        assert await bus.call(Chores.add, [1, 2]) == 3


async def test_the_launch_is_gone_from_the_environment() -> None:
    async with connect(stdio=COMMAND) as bus:
        assert await bus.call(Chores.environment) == {}


async def test_a_killed_broker_is_started_again_as_a_new_epoch() -> None:
    outcomes: list[object] = []
    heard: list[str] = []
    async with connect(stdio=COMMAND, limits=BRISK) as bus:
        bus.on_state(lambda change: outcomes.append(change.outcome))
        bus.on(Chores.told, heard.append)
        pid = await bus.call(Chores.pid)
        waiting = asyncio.create_task(bus.call(Chores.hang_thread))
        assert await bus.call(Chores.add, [1]) == 1
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SessionLost):
            await waiting
        assert await bus.call(Chores.pid) != pid
        assert bus.state == ConnectionState.OPEN
        assert outcomes[-1] == "lost"
        await bus.call(Chores.tell, "subscribed again")
        assert heard == ["subscribed again"]


@pytest.mark.parametrize("hung", [Chores.hang_thread, Chores.hang_loop], ids=["thread", "loop"])
async def test_a_broker_ends_with_its_parent_even_if_a_handler_hangs(hung: Call[None, None]) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, hung.name, *COMMAND, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not is_alive(pid), "the end of the orphan")


PARENT = """
import asyncio, sys
from ionbus import connect
sys.path.insert(0, sys.argv[3].rpartition("/")[0])
from chores import Chores

async def main():
    async with connect(stdio=sys.argv[2:]) as bus:
        print(await bus.call(Chores.pid), flush=True)
        member = next(m for m in Chores.__contract__.members.values() if m.name == sys.argv[1])
        await bus.call(member)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(number: signal.Signals) -> None:
    codes: list[str] = []
    async with LaunchedBroker(COMMAND) as child, opened_bus(child.open, BRISK) as bus:
        bus.on_state(lambda change: codes.append(change.code))
        pid = await bus.call(Chores.pid)
        os.kill(pid, number)
        await eventually(lambda: not is_alive(pid))
        assert codes[0] in ("stopping", "connection_lost")
        await eventually(lambda: child.pid != pid)


async def test_a_signal_lets_what_runs_finish_where_there_is_a_drain() -> None:
    command = [sys.executable, "-m", "ionbus.cli", "serve", "chores:broker", "--drain", "20"]
    async with LaunchedBroker(command, cwd=TESTS) as child, opened_bus(child.open, BRISK) as bus:
        pid = await bus.call(Chores.pid)
        nap = asyncio.create_task(bus.call(Chores.nap, 1.0))
        assert await bus.call(Chores.add, [1, 2]) == 3
        os.kill(pid, signal.SIGTERM)
        assert await bus.call(Chores.add, [3, 4], timeout=20) == 7
        assert await nap == "rested"
        await eventually(lambda: not is_alive(pid))
        assert await bus.call(Chores.pid, timeout=20) != pid


async def test_a_broker_that_computes_is_unresponsive_and_not_killed() -> None:
    limits = Limits(heartbeat_ms=50, silence_ms=150)
    states: list[ConnectionState] = []
    async with LaunchedBroker(COMMAND) as child, opened_bus(child.open, limits) as bus:
        bus.on_state(lambda change: states.append(change.after))
        # The broker's WELCOME gives the times; take ours instead, so that the test is short.
        engine, pump = bus._session.link.connection.session, bus._session.link.pump
        engine.set_heartbeat(50, 150)
        engine._liveness.start(pump.now())
        pump.flush()
        pid = await bus.call(Chores.pid)
        await bus.call(Chores.compute, 0.6)
        assert states == [ConnectionState.UNRESPONSIVE, ConnectionState.OPEN]
        assert await bus.call(Chores.pid) == pid


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-python-anywhere"], "no such program"),
        ([sys.executable, "-c", "import sys; sys.exit('no module named app')"], "no module named app"),
        ([sys.executable, "-c", "print('garbage in the pipe', flush=True); input()"], "garbage"),
    ],
    ids=["not found", "dying at start", "printing garbage"],
)
async def test_a_broker_that_does_not_start_is_explained(command: list[str], said: str) -> None:
    with pytest.raises(ConnectionLost, match=said):
        async with connect(stdio=command):
            pass


async def test_it_prints_its_url_and_token_when_run_by_hand() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IONBUS_")}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environment, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode().split()
    assert line[:2] == ["ionbus:", "serving"]
    async with connect(line[2], token=line[4]) as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3
        process.terminate()
        await eventually(lambda: bus.state == ConnectionState.RECONNECTING)
    assert await process.wait() == 0


async def test_electrons_main_is_given_a_websocket_for_its_window() -> None:
    origin = WindowOrigin(origin="http://localhost:5173")
    async with LaunchedBroker(COMMAND) as child, opened_bus(child.open) as main:
        first = await main.call(Ionbus.endpoint, origin)
        second = await main.call(Ionbus.endpoint, None)
        assert first.url == second.url
        assert first.token != second.token
        async with connect(first.url, token=first.token) as window:
            assert await window.call(Chores.add, [1, 2]) == 3
            with pytest.raises(NotAllowed):  # a window cannot ask for more
                await window.call(Ionbus.endpoint, None)
            with pytest.raises(Unauthenticated):  # the token was good once
                async with connect(first.url, token=first.token):
                    pass
        with pytest.raises(Unauthenticated):
            async with connect(first.url):
                pass


async def test_a_page_that_is_gone_costs_its_session_at_once() -> None:
    origin = WindowOrigin(origin="http://localhost:5173")
    async with LaunchedBroker(COMMAND) as child, opened_bus(child.open) as main:
        endpoint = await main.call(Ionbus.endpoint, origin)
        unused = await main.call(Ionbus.endpoint, origin)
        async with connect(endpoint.url, token=endpoint.token) as window:
            waiting = asyncio.create_task(window.call(Chores.hang_task))
            assert await window.call(Chores.add, [1, 2]) == 3
            await main.call(Ionbus.release, [endpoint.token, unused.token, "of nobody"])
            with pytest.raises(ConnectionLost, match="its page is gone"):
                await waiting
            assert window.state == ConnectionState.CLOSED
        async with asyncio.timeout(5):
            while await main.call(Chores.hung):
                pass  # the cancelled handler has not ended yet
        with pytest.raises(Unauthenticated):
            async with connect(unused.url, token=unused.token):
                pass


async def test_nobody_else_is_given_one() -> None:
    async with LaunchedBroker(COMMAND, role="client") as child, opened_bus(child.open) as bus:
        with pytest.raises(NotAllowed, match="main process"):
            await bus.call(Ionbus.endpoint, None)
