"""A broker as a child process: its pipes, its last words and its end (docs/protocol.md, section 2.2)."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from channels.conftest import Recorder, Script
from ionbus import BrokerExit, BrokerExited, ConnectionLost, LaunchedBroker, RestartPolicy
from ionbus.channels import child_process
from workshop import eventually

ECHO = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from ionbus.channels.stdio import serve_stdio

    class Receiver:
        def __init__(self, channel, identity):
            self.channel, self.identity = channel, identity

        def frame_received(self, frame):
            if frame == b"who":
                frame = f"{self.identity.role} {os.environ['IONBUS_LAUNCH']} {os.environ['IONBUS_TOKEN']}".encode()
            elif frame == b"pid":
                frame = str(os.getpid()).encode()
            elif frame == b"die":
                print("about to die", flush=True)
                self.channel.send(b"last words")
                asyncio.get_running_loop().call_soon(os._exit, 3)
                return
            elif frame == b"kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif frame == b"break off":
                os.write(self.channel._multiplex._pipe.output.get_extra_info("pipe").fileno(), bytes(3))
                os.kill(os.getpid(), signal.SIGKILL)
            elif frame == b"chatter":
                for number in range(60):
                    print("line", number)
            self.channel.send(frame)

        def writable(self): pass
        def closed(self, over, code, message): pass

    async def main():
        over = asyncio.Event()
        server = await serve_stdio(Receiver, over.set)
        await over.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    """
)


class Start(Protocol):
    """Write a program; the broker that runs it. `lines` gets what it writes to its standard error."""

    def __call__(
        self,
        source: str,
        *,
        grace: float = 5.0,
        restart: bool | RestartPolicy = True,
        on_log: Callable[[str], object] = ...,
    ) -> LaunchedBroker: ...


@pytest.fixture
async def start(script: Script) -> AsyncIterator[Start]:
    children: list[LaunchedBroker] = []

    def make(
        source: str,
        *,
        grace: float = 5.0,
        restart: bool | RestartPolicy = True,
        on_log: Callable[[str], object] = lambda line: None,
    ) -> LaunchedBroker:
        child = LaunchedBroker(script(source), grace=grace, restart=restart)
        child.on_log(on_log)
        children.append(child)
        return child

    yield make
    for child in children:
        async with asyncio.timeout(20):
            await child.stop()


async def try_to_open(child: LaunchedBroker, receiver: Recorder) -> None:
    """Open a channel to a program that may have ended before that."""
    with suppress(BrokerExited):
        await child.open(receiver)


async def how_it_ended(child: LaunchedBroker) -> BrokerExit:
    await eventually(lambda: child.health.last_exit, "its end")
    how = child.health.last_exit
    assert how is not None
    return how


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_frames_both_ways_and_who_we_are(start: Start, recorder: type[Recorder]) -> None:
    child, receiver = start(ECHO), recorder()
    assert child.pid is None
    opened = await child.open(receiver)
    opened.channel.send(b"who")
    await receiver.until(lambda: receiver.frames)
    assert receiver.frames == [f"main stdio {opened.token}".encode()]
    assert opened.token is not None
    assert len(opened.token) > 30
    assert child.health.last_exit is None


async def test_stop_closes_its_input_and_it_ends_by_itself(start: Start, recorder: type[Recorder]) -> None:
    child, receiver = start(ECHO), recorder()
    opened = await child.open(receiver)
    opened.channel.send(b"hello")
    await receiver.until(lambda: receiver.frames)
    await child.stop()
    assert (await how_it_ended(child)).code == 0
    assert receiver.ends[0][:2] == (False, "connection_lost")
    with pytest.raises(ConnectionLost, match="was stopped"):
        await child.open(recorder())
    await child.stop()


async def test_stop_before_it_was_started(start: Start) -> None:
    await start(ECHO).stop()


async def test_a_second_channel_uses_the_same_process(start: Start, recorder: type[Recorder]) -> None:
    child, first, second = start(ECHO), recorder(), recorder()
    one = (await child.open(first)).channel
    one.close(over=False, code="closed")
    two = await child.open(second)
    two.channel.send(b"pid")
    await second.until(lambda: second.frames)
    assert second.frames == [str(child.pid).encode()]
    assert first.ends == []


async def test_a_dead_child_says_why_and_is_started_again(start: Start, recorder: type[Recorder]) -> None:
    child, receiver = start(ECHO), recorder()
    opened = await child.open(receiver)
    first = child.pid
    opened.channel.send(b"die")
    over, code, message = await receiver.end()
    assert receiver.frames == [b"last words"]  # what it wrote before it died is not lost
    assert (over, code) == (False, "connection_lost")
    assert "ended with exit code 3" in message
    assert "about to die" in message
    assert (await how_it_ended(child)).code == 3
    again = recorder()
    reopened = await child.open(again)
    assert reopened.token != opened.token
    reopened.channel.send(b"pid")
    await again.until(lambda: again.frames)
    assert child.pid != first
    opened.channel.send(b"to a dead one")


async def test_a_killed_child_names_the_signal(start: Start, recorder: type[Recorder]) -> None:
    child, receiver = start(ECHO), recorder()
    (await child.open(receiver)).channel.send(b"kill")
    assert "was ended by SIGKILL" in (await receiver.end())[2]


async def test_a_child_that_was_killed_while_it_wrote_has_not_written_garbage(
    start: Start, recorder: type[Recorder]
) -> None:
    child, receiver = start(ECHO), recorder()
    channel = (await child.open(receiver)).channel
    channel.send(b"hello")
    await receiver.until(lambda: receiver.frames)
    channel.send(b"break off")
    assert "was ended by SIGKILL" in (await receiver.end())[2]


async def test_a_child_that_dies_at_start(start: Start, recorder: type[Recorder]) -> None:
    child, receiver = (
        start("import sys\nprint('loading', file=sys.stderr)\nimport no_such_module\n"),
        recorder(),
    )
    (await child.open(receiver)).channel.send(b"hello")
    message = (await receiver.end())[2]
    assert "ended with exit code 1" in message
    assert "loading" in message
    assert "No module named 'no_such_module'" in message


async def test_its_standard_error_is_forwarded_and_kept(start: Start, recorder: type[Recorder]) -> None:
    lines: list[str] = []
    child, receiver = start(ECHO, on_log=lines.append), recorder()
    opened = await child.open(receiver)
    opened.channel.send(b"chatter")
    await receiver.until(lambda: receiver.frames)
    await child.stop()
    assert lines == [f"line {number}" for number in range(60)]
    assert child.health.last_lines == tuple(lines[-20:])


async def test_odd_output_on_standard_error(start: Start, recorder: type[Recorder]) -> None:
    source = "import os\nos.write(2, b'\\xff\\n' + b'x' * 10000 + b'\\r\\nno end')"
    child, receiver = start(source, restart=False), recorder()
    await try_to_open(child, receiver)
    lines = (await how_it_ended(child)).last_lines
    assert lines[0] == "\ufffd"
    assert all(len(line) <= 4096 for line in lines)
    assert lines[-1] == "no end"


async def test_a_callback_that_fails_harms_nothing(
    start: Start, recorder: type[Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    child, receiver = (
        start("import os\nos.write(2, b'a\\nb\\n')", restart=False, on_log=lambda line: 1 / 0),
        recorder(),
    )
    await try_to_open(child, receiver)
    assert (await how_it_ended(child)).last_lines == ("a", "b")
    assert "watcher of the broker's process failed" in caplog.text


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("print('Hello from my program')", "'Hello from my program"),
        ("print('Hi')", "'Hi\\n'"),
        ("import os, time\nos.write(1, b'Starting up' + bytes(200))\ntime.sleep(3600)", "'Starting up"),
        ("import os\nos.write(1, b'\\0\\0\\0\\x09\\x07rest of it')", "\\x07rest of it'"),
    ],
    ids=["text", "short", "runs on", "kind"],
)
async def test_garbage_on_its_standard_output(
    start: Start, recorder: type[Recorder], source: str, shown: str
) -> None:
    child, receiver = start(source), recorder()
    await child.open(receiver)
    over, code, message = await receiver.end()
    assert (over, code) == (False, "connection_lost")
    assert "printed something that is no record on its standard output" in message
    assert shown in message
    assert "print to standard error" in message


async def test_a_program_that_closes_its_output_and_runs_on(
    start: Start, recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "LAST_WORDS", 0.05)
    child, receiver = start("import os, time\nos.close(1)\ntime.sleep(3600)", grace=0.05), recorder()
    await child.open(receiver)
    assert "closed its standard input or output, ran on, and was ended" in (await receiver.end())[2]
    assert (await how_it_ended(child)).signal == "SIGTERM"


async def test_a_program_that_ignores_everything_is_killed(
    start: Start, recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "TERMINATE_TIMEOUT", 0.05)
    ready = asyncio.Event()
    child = start(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', file=sys.stderr, flush=True)\ntime.sleep(3600)",
        grace=0.05,
        on_log=lambda line: ready.set(),
    )
    await child.open(recorder())
    await ready.wait()
    pid = child.pid or 0
    await child.stop()
    assert (await how_it_ended(child)).signal == "SIGKILL"
    assert not lives(pid)


async def test_a_grandchild_that_holds_the_pipes_does_not_delay_the_news(
    start: Start, recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "LAST_WORDS", 0.05)
    pids: list[int] = []
    child, receiver = (
        start(
            "import subprocess, sys\n"
            "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])\n"
            "print(grandchild.pid, file=sys.stderr, flush=True)\nsys.exit(4)",
            restart=False,
            on_log=lambda line: pids.append(int(line)),
        ),
        recorder(),
    )
    await try_to_open(child, receiver)
    try:
        assert (await how_it_ended(child)).code == 4
    finally:
        os.kill(pids[0], signal.SIGKILL)


async def test_a_child_that_does_not_read(start: Start, recorder: type[Recorder]) -> None:
    child, receiver = start("import time\ntime.sleep(3600)", grace=0.05), recorder()
    channel = (await child.open(receiver)).channel
    sent = 0
    while channel.is_writable:
        channel.send(bytes(60_000))
        sent += 1
        assert sent < 100
    async with asyncio.timeout(10):
        await child.stop()
    assert (await how_it_ended(child)).signal == "SIGTERM"


# What cannot be started.


@pytest.mark.parametrize(
    ("command", "cwd", "message"),
    [
        (["no-such-program-anywhere"], None, "no-such-program-anywhere: there is no such program"),
        ([sys.executable], "/no/such/directory", "the directory /no/such/directory does not exist"),
        ([os.path.dirname(__file__)], None, "may not be run"),  # noqa: PTH120
        (["nul\0byte"], None, "embedded null byte"),
    ],
)
async def test_what_cannot_be_started(
    recorder: type[Recorder], command: list[str], cwd: str | None, message: str
) -> None:
    async with LaunchedBroker(command, cwd=cwd) as child:
        for _ in range(2):
            with pytest.raises(BrokerExited, match=message):
                await child.open(recorder())


@pytest.mark.parametrize("command", ["python -m myapp", []])
def test_a_command_is_a_list(command: str | list[str]) -> None:
    with pytest.raises(ValueError, match="list"):
        LaunchedBroker(command)


# No orphans.


async def test_cancelled_stop_kills(start: Start, recorder: type[Recorder]) -> None:
    ready = asyncio.Event()
    child = start(
        "import sys, time\nprint('ready', file=sys.stderr, flush=True)\ntime.sleep(3600)",
        grace=3600,
        on_log=lambda line: ready.set(),
    )
    receiver = recorder()
    await child.open(receiver)
    await ready.wait()
    pid = child.pid or 0
    stopping = asyncio.create_task(child.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await receiver.end()
    assert not lives(pid)


async def test_cancelled_open_leaves_no_process(start: Start, recorder: type[Recorder]) -> None:
    child = start(ECHO)
    opening = asyncio.create_task(child.open(recorder()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await child.stop()
    assert child.pid is None
    assert child.state == "stopped"


async def test_a_parent_that_is_killed_leaves_no_broker(script: Script, tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from ionbus import LaunchedBroker

            class Receiver:
                def frame_received(self, frame): print("open", flush=True)
                def writable(self): pass
                def closed(self, *end): pass

            async def main():
                child = LaunchedBroker(sys.argv[1:])
                (await child.open(Receiver())).channel.send(b"hello")
                await asyncio.sleep(3600)

            asyncio.run(main())
            """
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(parent),
        *script(ECHO),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert await process.stdout.readline() == b"open\n"
    process.kill()
    async with asyncio.timeout(10):
        assert await process.stderr.read() == b""
        await process.wait()
