"""`ionbus serve --reload`: the code changes, the address or the pipe stays, and nobody is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgpack
import pytest

from chores import Chores
from ionbus import Bus, ConnectionLost, ConnectionState, LaunchedBroker, SessionLost, connect
from ionbus.channels.stdio import Stdio
from ionbus.cli.relay import Relay
from ionbus.generated.protocol import Limits, Record as Kind
from ionbus.wire.records import encode_record
from marked import Mark
from workshop import eventually, opened_bus

TESTS = Path(__file__).parents[1]
IONBUS = [sys.executable, "-m", "ionbus.cli"]
BRISK = Limits(retry_base_ms=5, retry_cap_ms=100)


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark()
    yield mark
    mark.kill()


VERSIONED = """
from chores import Chores
from ionbus import Broker
broker = Broker(Chores)
for member in Chores.__contract__.members.values():
    if member.kind == "call" and member.name != "chores.add":
        def unused(payload=None):
            return None
        broker.handle(member)(unused)

@broker.handle(Chores.add)
async def add(numbers: list[int]) -> int:
    return sum(numbers) * VERSION
"""


async def until_the_new_code_answers(bus: Bus) -> None:
    async with asyncio.timeout(20):
        answer = 0
        while answer != 30:
            await asyncio.sleep(0.05)
            with suppress(SessionLost):  # it was under way when the old broker ended
                answer = await bus.call(Chores.add, [1, 2])


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["stdio", "ws"])
async def test_reload_serves_the_new_code_to_the_same_client(how: str, tmp_path: Path) -> None:
    module = tmp_path / "versioned.py"
    module.write_text(f"VERSION = 1\n{VERSIONED}")
    limits = Limits(retry_base_ms=5, retry_cap_ms=100)
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*IONBUS, "serve", "versioned:broker", "--reload", "--grace", "0.5"]
    outcomes: list[object] = []
    if how == "stdio":
        async with (
            LaunchedBroker(command, cwd=tmp_path, env=environment) as child,
            opened_bus(child.open, limits) as bus,
        ):
            bus.on_state(lambda change: outcomes.append(change.outcome))
            assert await bus.call(Chores.add, [1, 2]) == 3
            pid = child.pid
            await eventually(lambda: bus.state == ConnectionState.OPEN)
            module.write_text(f"VERSION = 10\n{VERSIONED}")
            await until_the_new_code_answers(bus)
            assert child.pid == pid  # the parent has kept the pipe
            assert "lost" in outcomes
        return
    process = await asyncio.create_subprocess_exec(
        *command,
        "--ws",
        "127.0.0.1:0",
        cwd=tmp_path,
        env={**environment, "IONBUS_TOKEN": "secret"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().split()[2]
    async with connect(url, token="secret", limits=limits) as bus:
        assert await bus.call(Chores.add, [1, 2]) == 3
        module.write_text(f"VERSION = 10\n{VERSIONED}")
        await until_the_new_code_answers(bus)
    process.terminate()
    await process.communicate()


# No orphans.


async def wait_for_broker(mark: Mark) -> None:
    """Wait until a broker runs behind the process that reloads it."""
    command = f"{sys.executable} -m ionbus.cli serve"
    await eventually(lambda: sum(found.command.startswith(command) for found in mark.found()) == 2)


@pytest.mark.slow
async def test_the_broker_of_a_reloading_parent_that_is_killed_ends_with_it(
    mark: Mark, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *IONBUS, "serve", "chores:broker", "--reload", "--ws", "127.0.0.1:0", "--grace", "30",
        cwd=tmp_path, env=mark.env(PYTHONPATH=str(TESTS), IONBUS_TOKEN="secret"), stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().split()[2]
    async with connect(url, token="secret", limits=BRISK) as bus:
        hanging = asyncio.create_task(bus.call(Chores.hang_thread))
        assert await bus.call(Chores.add, [1, 2]) == 3
        await wait_for_broker(mark)
        process.kill()
        assert await asyncio.to_thread(mark.gone_within, 10) == []
        await process.communicate()
    with pytest.raises(ConnectionLost):
        await hanging


PARENT = """
import asyncio, sys
from chores import Chores
from ionbus import connect

async def main():
    async with connect(stdio=sys.argv[1:]) as bus:
        hanging = asyncio.create_task(bus.call(Chores.hang_thread))
        assert await bus.call(Chores.add, [1, 2]) == 3
        print("hangs", flush=True)
        await hanging

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("dies_first", ["the parent", "the relay"])
async def test_nothing_is_left_of_a_pipe_with_a_relay_in_it(
    dies_first: str, mark: Mark, tmp_path: Path
) -> None:
    command = [*IONBUS, "serve", "chores:broker", "--reload", "--stdio", "--grace", "30"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *command,
        cwd=tmp_path, env=mark.env(PYTHONPATH=str(TESTS)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"hangs\n"
    await wait_for_broker(mark)
    before = {found.pid for found in mark.found()} - {process.pid}
    if dies_first == "the parent":
        process.kill()
    else:
        (relay,) = (
            found.pid for found in mark.found() if "--reload" in found.command and found.pid in before
        )
        os.kill(relay, signal.SIGKILL)
    await eventually(lambda: not before & {found.pid for found in mark.found()})
    mark.kill()
    await process.communicate()


# The relay.


@asynccontextmanager
async def relaying(code: str) -> AsyncIterator[tuple[Relay, int, asyncio.subprocess.Process]]:
    """A relay with a program in the place of a broker; where the parent writes."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    ended = asyncio.Event()
    relay = Relay(ended.set)
    await relay.open(Stdio(theirs_in, theirs_out))
    broker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    serving = asyncio.create_task(relay.serve(broker))
    try:
        yield relay, ours_out, broker
    finally:
        with suppress(ProcessLookupError):
            broker.kill()
        await serving
        os.close(ours_in)
        with suppress(OSError):
            os.close(ours_out)
        await relay.close()


OPEN = encode_record(Kind.OPEN, 1, msgpack.packb({"role": "main"}))
DATA = encode_record(Kind.DATA, 1, bytes(60_000))


async def test_the_relay_reads_no_more_than_the_broker_takes() -> None:
    async with relaying("import time; time.sleep(600)") as (_, parent, broker):
        written = await write_what_is_taken(parent, OPEN)
        assert written < 2_000_000  # pipes, and a chunk or two
        broker.kill()
        await broker.wait()
        written += await write_what_is_taken(parent, b"")
        assert written < 3_000_000  # no broker: the parent is not read


async def test_what_was_said_before_the_pipe_was_closed_still_reaches_the_broker(tmp_path: Path) -> None:
    """Its end is told behind the last records, not by a signal that overtakes them."""
    counted = tmp_path / "counted"
    code = f"import sys; count = len(sys.stdin.buffer.read()); open({str(counted)!r}, 'w').write(str(count))"
    async with relaying(code) as (relay, parent, broker):
        sent = OPEN + DATA * 50
        await asyncio.to_thread(write_all, parent, sent)
        os.close(parent)
        await eventually(lambda: relay.has_ended)
        await relay.say_eof()
        assert await broker.wait() == 0
        assert int(counted.read_text()) == len(sent)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def write_what_is_taken(fd: int, first: bytes) -> int:
    """Write until nobody has read for a while; how many bytes were taken."""
    os.set_blocking(fd, False)
    taken, rest, refused = 0, first + DATA, 0
    while refused < 20 and taken < 20_000_000:
        try:
            count = os.write(fd, rest)
        except BlockingIOError:
            refused += 1
            await asyncio.sleep(0.01)
        else:
            taken, refused = taken + count, 0
            rest = rest[count:] or DATA
    return taken
