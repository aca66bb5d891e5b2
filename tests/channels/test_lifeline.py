"""No orphans: whatever a broker's handlers do, it ends soon after its parent (docs/supervision.md)."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from marked import Mark
from workshop import eventually

BROKER = textwrap.dedent(
    """
    import asyncio, subprocess, sys, threading
    from ionbus import Broker, Call, Contract

    class Stuck(Contract, name="stuck", version="1.0"):
        thread = Call(None, None, timeout=None)
        cancellation = Call(None, None, timeout=None)
        children = Call(None, None, timeout=None)
        loop = Call(None, None, timeout=None)

    broker = Broker(Stuck)
    forever = threading.Event()

    @broker.handle(Stuck.thread)
    def thread() -> None:
        forever.wait()

    @broker.handle(Stuck.cancellation)
    async def cancellation() -> None:
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass

    @broker.handle(Stuck.children)
    def children() -> None:
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        subprocess.Popen([*sleep, "meant to live on"], start_new_session=True)
        subprocess.run(sleep)

    @broker.handle(Stuck.loop)
    async def loop() -> None:
        print("stuck", flush=True)
        forever.wait()

    if __name__ == "__main__":
        broker.run(grace=30.0)
    """
)

PARENT = textwrap.dedent(
    """
    import asyncio, sys
    from ionbus import connect
    from stuck import Stuck

    async def main():
        async with connect(stdio=sys.argv[2:]) as bus:
            async with asyncio.TaskGroup() as group:
                for name in sys.argv[1].split():
                    group.create_task(bus.call(getattr(Stuck, name)))

    asyncio.run(main())
    """
)

DIRECT = [sys.executable, "stuck.py"]
THROUGH_A_SHELL = ["sh", "-c", f"{sys.executable} stuck.py; true"]  # it waits: it is no `exec`


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark()
    yield mark
    mark.kill()


@asynccontextmanager
async def parent(
    mark: Mark, folder: Path, calls: str, command: list[str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that has called all these handlers, the last of which is `loop`: they hang."""
    (folder / "stuck.py").write_text(BROKER)
    (folder / "parent.py").write_text(PARENT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "parent.py", calls, *command, cwd=folder, env=mark.env(), stderr=subprocess.PIPE
    )  # fmt: skip
    assert process.stderr is not None
    assert await process.stderr.readline() == b"stuck\n"
    yield process
    mark.kill()
    await process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("command", [DIRECT, THROUGH_A_SHELL], ids=["direct", "through a shell"])
async def test_a_broker_whose_handlers_all_hang_ends_with_its_parent(
    mark: Mark, tmp_path: Path, command: list[str]
) -> None:
    async with parent(mark, tmp_path, "thread cancellation loop", command) as process:
        process.kill()
        assert await asyncio.to_thread(mark.gone_within, 10) == []  # far less than its `grace`


@pytest.mark.slow
async def test_a_broker_that_is_still_importing_ends_with_its_parent(mark: Mark, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import sys, time, ionbus\nprint('imports', file=sys.stderr, flush=True)\ntime.sleep(600)"
    )
    code = f"import asyncio, ionbus\nasyncio.run(ionbus.connect(stdio=[{sys.executable!r}, 'slow.py']).__aenter__())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=tmp_path, env=mark.env(), stderr=subprocess.PIPE
    )  # fmt: skip
    assert process.stderr is not None
    assert await process.stderr.readline() == b"imports\n"
    process.kill()
    assert await asyncio.to_thread(mark.gone_within, 10) == []
    await process.communicate()


FORKING = """
import asyncio, os, sys, time
from ionbus import connect
from stuck import Stuck

async def main():
    async with connect(stdio=sys.argv[1:]) as bus:
        if os.fork() == 0:
            time.sleep(600)  # it holds whatever this process had, and executes nothing new
        await bus.call(Stuck.loop)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_process_that_its_parent_has_forked_does_not_keep_it_alive(
    mark: Mark, tmp_path: Path
) -> None:
    (tmp_path / "stuck.py").write_text(BROKER)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", FORKING, *DIRECT,
        cwd=tmp_path, env=mark.env(), stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    assert await process.stderr.readline() == b"stuck\n"
    assert len(mark.found()) == 3
    process.kill()
    await eventually(lambda: len(mark.found()) == 1)
    assert "os.fork" in mark.found()[0].command
    mark.kill()
    await process.communicate()


@pytest.mark.slow
async def test_so_it_does_with_a_launcher_in_between_that_is_killed(mark: Mark, tmp_path: Path) -> None:
    async with parent(mark, tmp_path, "thread loop", THROUGH_A_SHELL):
        (shell,) = (found.pid for found in mark.found() if found.command.startswith("sh -c"))
        (broker,) = (found.pid for found in mark.found() if found.command.endswith(" stuck.py"))
        os.kill(shell, signal.SIGKILL)
        await eventually(lambda: broker not in [found.pid for found in mark.found()])


@pytest.mark.slow
async def test_what_a_hanging_handler_has_started_ends_too_unless_it_was_detached(
    mark: Mark, tmp_path: Path
) -> None:
    async with parent(mark, tmp_path, "children loop", DIRECT) as process:
        await eventually(lambda: len(mark.found()) == 4)
        process.kill()
        await eventually(lambda: len(mark.found()) == 1)
        assert "meant to live on" in mark.found()[0].command
