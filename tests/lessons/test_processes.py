"""How programs with a Python child process have failed elsewhere; each test is named after what happened (docs/lessons.md)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from ionbus import BrokerExited, ConnectionState, LaunchedBroker, SessionLost, connect
from ionbus.generated.protocol import Limits, Record as Kind
from ionbus.testing import Recorder
from ionbus.wire.records import RecordReader, encode_record
from lessons.backend import Backend
from lessons.places import BACKEND, BRISK_BACKEND, RELAY, is_alive
from marked import Mark
from workshop import eventually

BRISK = Limits(retry_base_ms=1, retry_cap_ms=20)


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark()
    yield mark
    mark.kill()


async def test_one_file_bundles_put_a_launcher_in_between_and_killing_the_childs_pid_leaves_the_real_process(
    mark: Mark,
) -> None:
    """One-file bundles put a launcher between parent and child, so killing the child's pid leaves the real process
    (pyinstaller#9016, #4690)."""
    launcher = [
        "sh",
        "-c",
        f"{' '.join(BACKEND)}; true",
    ]  # it waits for its child, as a bundle does: it is no `exec`
    async with connect(stdio=launcher, env=mark.env(), limits=BRISK) as bus:
        real, between = await bus.call(Backend.pid), await bus.call(Backend.launcher)
        assert between not in (real, os.getpid())
        hanging = asyncio.create_task(bus.call(Backend.hang))
        assert await bus.call(Backend.echo, b"the other call has left") == b"the other call has left"
        os.kill(between, signal.SIGKILL)
        with pytest.raises(SessionLost):
            await hanging
        await eventually(lambda: not is_alive(real), "the end of the real process")
        assert await bus.call(Backend.pid) != real  # a new one was started, behind a new launcher
    assert await asyncio.to_thread(mark.gone_within, 10) == []


LAUNCHER = textwrap.dedent(
    """
    # Starts a program through another process, which is gone at once, and stays until the program has ended.
    import os, sys
    hears_the_end, lives = os.pipe()
    os.set_inheritable(lives, True)
    if os.fork() == 0:
        if os.fork() == 0:
            os.execv(sys.argv[1], sys.argv[1:])
        os._exit(0)
    os.wait()
    os.close(lives)
    os.read(hears_the_end, 1)
    """
)


@pytest.mark.slow
async def test_a_watchdog_on_the_parents_pid_misfires_behind_a_launcher_and_the_backend_exits(
    mark: Mark,
) -> None:
    """A watchdog on the parent's pid misfires behind a launcher, and the backend exits at each start
    (NousResearch/hermes-agent#83583)."""
    command = [sys.executable, "-c", LAUNCHER, *BACKEND]
    for _ in range(2):
        async with connect(stdio=command, env=mark.env()) as bus:
            recorder = Recorder()
            recorder.record(bus)
            pid, launcher = await bus.call(Backend.pid), await bus.call(Backend.launcher)
            known = {found.pid for found in mark.found()}
            assert launcher not in known | {os.getpid()}  # it has another parent than the one that started it
            await recorder.wait_for_none(
                ConnectionState.RECONNECTING, until=1.5
            )  # more than a broker outlives its parent
            assert await bus.call(Backend.pid) == pid
        assert await asyncio.to_thread(mark.gone_within, 10) == []  # the pipe's end it has noticed


async def test_a_print_corrupts_the_protocol_or_protocol_frames_appear_on_the_console(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A `print()` corrupts the protocol, or protocol frames appear on the console (JSPyBridge#79)."""
    secret = b"what a frame holds, and no console shows"
    async with connect(stdio=BACKEND) as bus:
        recorder = Recorder()
        recorder.record(bus)
        noises = [asyncio.create_task(bus.call(Backend.noise)) for _ in range(3)]
        assert await bus.call(Backend.echo, secret) == secret
        await asyncio.gather(*noises)
        assert await bus.call(Backend.echo, secret) == secret
        assert recorder.states == []
    printed = capfd.readouterr()
    assert printed.out == ""
    rest = printed.err
    for text, times in [
        ("printed before the broker runs", 1),
        ("printed by a handler", 3),
        ("written to the buffer of sys.stdout", 3),
        ("written to descriptor 1", 3),
        ("printed by a child", 3),
    ]:
        assert rest.count(text) == times, text
        rest = rest.replace(text, "")
    assert rest == "\n" * 13  # a child may print between a text and its newline


async def test_a_handlers_child_process_inherits_stdin_and_swallows_the_frames(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A handler's child process inherits stdin and swallows the frames: 1,000 bytes sent, none read; its output lands in
    the frame pipe (seen in a trial with `subprocess.run`)."""
    thousand = bytes(range(250)) * 4
    async with connect(stdio=BACKEND) as bus:
        recorder = Recorder()
        recorder.record(bus)
        asking = asyncio.create_task(bus.call(Backend.child))
        sent = 0
        while not asking.done():  # there is always something in the pipe that a child could take
            assert await bus.call(Backend.echo, thousand) == thousand
            sent += 1
        assert await asking == "the child has read 0 bytes"
        assert sent > 1
        assert recorder.states == []
    assert "the child has read 0 bytes\n" in capfd.readouterr().err


async def test_results_over_64_kib_break_because_reads_are_taken_for_messages() -> None:
    """Results over 64 KiB break on Windows because reads are taken for messages (JSPyBridge#161)."""
    async with connect(stdio=[sys.executable, RELAY, *BACKEND]) as bus:
        recorder = Recorder()
        recorder.record(bus)
        for size in (1, 65_535, 65_536, 65_537, 200_000, 1_000_000):
            data = bytes(number % 251 for number in range(size))
            assert await bus.call(Backend.echo, data) == data
        assert recorder.states == []

    records = [
        (Kind.DATA, channel, bytes([channel]) * size) for channel, size in enumerate((0, 1, 300, 5, 700), 1)
    ]
    stream = b"".join(encode_record(*record) for record in records)
    for cut in range(len(stream) + 1):
        reader = RecordReader()
        assert [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])] == records, f"cut at byte {cut}"
    whole = (Kind.DATA, 1, bytes(range(256)) * 300)
    reader, read = RecordReader(), []
    for byte in encode_record(*whole):
        read += reader.feed(bytes([byte]))
    assert read == [whole]


WINDOWS = textwrap.dedent(
    """
    # The backend on an event loop that can read no pipe, as the one of Windows, and with the choice that is made there.
    import asyncio, functools, sys
    from ionbus.broker import endpoints
    from ionbus.channels.stdio import serve_stdio

    class Loop(asyncio.SelectorEventLoop):
        async def connect_read_pipe(self, *_):
            raise OSError(6, "The handle is invalid")

        async def connect_write_pipe(self, *_):
            raise OSError(6, "The handle is invalid")

    asyncio.run = lambda main: asyncio.Runner(loop_factory=Loop).run(main)
    endpoints.serve_stdio = functools.partial(serve_stdio, threads=True)
    import backend
    backend.broker.run(grace=0.5)
    """
)


async def test_asyncio_cannot_read_stdin_on_windows_proactor_loop() -> None:
    """asyncio cannot read stdin on Windows' Proactor loop (cpython#87694)."""
    command = [sys.executable, "-c", WINDOWS]
    data = bytes(range(256)) * 4_000
    async with connect(stdio=command, cwd=Path(BACKEND[1]).parent) as bus:
        pid = await bus.call(Backend.pid)
        hanging = asyncio.create_task(bus.call(Backend.hang))
        assert await bus.call(Backend.echo, data) == data
        assert await bus.call(Backend.child) == "the child has read 0 bytes"
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SessionLost):
            await hanging
        pid = await bus.call(Backend.pid)
    await eventually(lambda: not is_alive(pid), "its end with its parent")


async def test_a_call_time_out_of_100_s_is_the_only_sign_that_the_child_hangs(tmp_path: Path) -> None:
    """A 100 s call time-out is the only sign that the child hangs (JSPyBridge#141, #150)."""
    dying = "import sys; print('loading the model', file=sys.stderr); sys.exit('there is no licence')"
    with pytest.raises(BrokerExited, match="there is no licence") as raised:
        async with connect(stdio=[sys.executable, "-c", dying]):
            pass
    assert raised.value.exit_code == 1
    assert raised.value.last_lines == ["loading the model", "there is no licence"]

    deaf = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with LaunchedBroker(deaf, start_timeout=0.2, grace=0.1, restart=False) as broker:
        with pytest.raises(BrokerExited, match="has not answered within"):
            async with connect(broker):
                pass

    async with connect(stdio=BRISK_BACKEND, limits=BRISK) as bus:
        recorder = Recorder()
        recorder.record(bus)
        end = tmp_path / "end"
        hanging = asyncio.create_task(bus.call(Backend.compute, str(end)))
        await recorder.wait_for(ConnectionState.UNRESPONSIVE, timeout=20)  # long before any call times out
        assert not hanging.done()
        end.touch()
        assert await hanging == "computed"
