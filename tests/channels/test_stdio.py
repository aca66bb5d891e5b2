"""The broker's end of the pipe, with real pipes and processes (docs/protocol.md, section 2.2)."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgpack
import pytest

from channels.conftest import Accepted, Script
from ionbus.channels import pipe
from ionbus.channels.stdio import Stdio, StdioServer, serve_stdio
from ionbus.generated.protocol import Record as Kind
from ionbus.wire.records import Record, RecordReader, encode_record

OPEN = encode_record(Kind.OPEN, 1, msgpack.packb({"role": "main"}))


class Parent:
    """Our end of two pipes, and what was read from the broker so far."""

    def __init__(self, to_broker: int, from_broker: int) -> None:
        self.to_broker, self.from_broker = to_broker, from_broker
        self.reader = RecordReader()
        self.records: list[Record] = []

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(os.write, self.to_broker, data)

    async def read(self, count: int) -> list[Record]:
        async with asyncio.timeout(10):
            while len(self.records) < count:
                chunk = await asyncio.to_thread(os.read, self.from_broker, 65_536)
                assert chunk, "the broker closed the pipe"
                self.records += self.reader.feed(chunk)
        return self.records[:count]

    async def read_end(self) -> None:
        async with asyncio.timeout(10):
            while chunk := await asyncio.to_thread(os.read, self.from_broker, 65_536):
                self.records += self.reader.feed(chunk)

    def close(self, *which: str) -> None:
        for name in which or ("to_broker", "from_broker"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)


Served = tuple[StdioServer, Accepted, Parent, asyncio.Event]


@pytest.fixture(params=["loop", "threads", "sockets"])
async def served(request: pytest.FixtureRequest, accepted: type[Accepted]) -> AsyncIterator[Served]:
    """A broker's end in this process; the parent's end of its pipes; whether end of file was told."""
    if request.param == "sockets":  # what Node.js makes
        ends = [socket.socketpair() for _ in range(2)]
        (theirs_in, ours_in), (ours_out, theirs_out) = ends
        fds = [theirs_in.detach(), ours_in.detach(), ours_out.detach(), theirs_out.detach()]
    else:
        theirs_in_fd, ours_in_fd = os.pipe()
        ours_out_fd, theirs_out_fd = os.pipe()
        fds = [theirs_in_fd, ours_in_fd, ours_out_fd, theirs_out_fd]
    parent = Parent(fds[1], fds[2])
    broker = accepted(echo=True)
    ended = asyncio.Event()
    server = await serve_stdio(
        broker, ended.set, stdio=Stdio(fds[0], fds[3]), threads=True if request.param == "threads" else None
    )
    yield server, broker, parent, ended
    server.close()
    parent.close()
    async with asyncio.timeout(10):
        await server.wait_closed()


async def test_frames_both_ways(served: Served) -> None:
    _, broker, parent, _ = served
    await parent.write(OPEN + encode_record(Kind.DATA, 1, b"hello"))
    assert await parent.read(1) == [(Kind.DATA, 1, b"hello")]
    broker.channels[0].max_frame_bytes = 1_048_576
    large = bytes(range(256)) * 4096
    write = asyncio.create_task(parent.write(encode_record(Kind.DATA, 1, large)))
    assert (await parent.read(2))[1] == (Kind.DATA, 1, large)
    await write


async def test_end_of_file_ends_the_broker(served: Served) -> None:
    _, broker, parent, ended = served
    await parent.write(OPEN)
    await broker.count(1)
    parent.close("to_broker")
    async with asyncio.timeout(10):
        await ended.wait()
    assert broker.receivers[0].ends == [(False, "connection_lost", "end of file on the input")]
    broker.channels[0].send(b"nobody")


async def test_a_closed_pipe_is_a_state_change(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads our output: no exception, no traceback in the log, the broker ends."""
    _, broker, parent, ended = served
    await parent.write(OPEN)
    await broker.count(1)
    parent.close("from_broker")
    for _ in range(20):
        broker.channels[0].send(b"into the void")
    async with asyncio.timeout(10):
        await ended.wait()
    for _ in range(20):
        broker.channels[0].send(b"into the void")
    assert broker.receivers[0].ends[0][:2] == (False, "connection_lost")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_garbage_closes_the_pipe(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    _, broker, parent, ended = served
    await parent.write(OPEN)
    await broker.count(1)
    await parent.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(10):
        await ended.wait()
    assert broker.receivers[0].ends[0][:2] == (False, "connection_lost")
    assert "no record" in caplog.text


async def test_back_pressure_and_turns(served: Served) -> None:
    _, broker, parent, _ = served
    await parent.write(OPEN + encode_record(Kind.OPEN, 2, msgpack.packb({"role": "client"})))
    await broker.count(2)
    busy, calm = broker.channels
    sent = 0
    while busy.is_writable:
        busy.send(bytes(60_000))
        sent += 1
        await asyncio.sleep(0)
    for _ in range(5):
        busy.send(bytes(60_000))
    assert calm.is_writable
    calm.send(b"small")
    records = await parent.read(sent + 6)
    await broker.receivers[0].until(lambda: broker.receivers[0].writables)
    order = [record.channel for record in records]
    assert order.index(2) < len(order) - 4  # it did not wait for what the other had queued


async def test_what_was_sent_leaves_before_the_pipe_closes(served: Served) -> None:
    server, broker, parent, ended = served
    await parent.write(OPEN)
    await broker.count(1)
    for _ in range(30):
        broker.channels[0].send(bytes(10_000))
    broker.channels[0].close(code="stopping", message="bye")
    server.close()
    await parent.read_end()
    assert len(parent.records) == 31
    assert msgpack.unpackb(parent.records[-1].body) == [False, "stopping", "bye"]
    assert not ended.is_set()


async def test_closing_does_not_wait_for_a_parent_that_does_not_read(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "CLOSE_TIMEOUT", 0.05)
    server, broker, parent, _ = served
    await parent.write(OPEN)
    await broker.count(1)
    for _ in range(30):
        broker.channels[0].send(bytes(100_000))
    server.close()
    async with asyncio.timeout(5):
        await server.wait_closed()


# A process of its own.

BROKER = textwrap.dedent(
    """
    import asyncio, os, subprocess, sys
    from ionbus.channels.stdio import serve_stdio

    print("printed before the pipe was taken")

    class Receiver:
        def __init__(self, channel):
            self.channel = channel

        def frame_received(self, frame):
            if frame == b"print":
                print("printed in a handler")
                os.write(1, b"written to 1\\n")
            elif frame == b"child":
                child = [sys.executable, "-c", "import sys; print('child read', len(sys.stdin.buffer.read()), 'bytes')"]
                subprocess.run(child, check=True)
                subprocess.run(["echo", "echoed"], check=True)
            elif frame == b"fds":
                child = [sys.executable, "-c", "import os; print(*(os.readlink('/proc/self/fd/%d' % f) for f in range(3)))"]
                frame = subprocess.run(child, check=True, stdout=subprocess.PIPE, pass_fds=()).stdout
            elif frame == b"block":
                import time
                time.sleep(3600)
            self.channel.send(frame)

        def writable(self): pass
        def closed(self, over, code, message): print("closed", code)

    async def main():
        over = asyncio.Event()
        server = await serve_stdio(lambda channel, identity: Receiver(channel), over.set, threads=THREADS)
        await over.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    """
)


Start = Callable[[], tuple[subprocess.Popen[bytes], Parent]]


@pytest.fixture(params=[None, True], ids=["loop", "threads"])
def start(request: pytest.FixtureRequest, script: Script) -> Iterator[Start]:
    command = script(BROKER.replace("THREADS", str(request.param)))
    processes: list[subprocess.Popen[bytes]] = []

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

    def run() -> tuple[subprocess.Popen[bytes], Parent]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
        )
        processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        return process, Parent(process.stdin.fileno(), process.stdout.fileno())

    yield run
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()


async def test_prints_and_children_do_not_touch_the_pipe(start: Start) -> None:
    process, parent = start()
    assert process.stdin is not None
    assert process.stderr is not None
    wanted = [b"first", b"print", b"child", b"last"]
    await parent.write(OPEN + b"".join(encode_record(Kind.DATA, 1, frame) for frame in wanted))
    assert [record.body for record in await parent.read(4)] == wanted
    process.stdin.close()
    assert await asyncio.to_thread(process.wait, 10) == 0
    printed = (await asyncio.to_thread(process.stderr.read)).decode().splitlines()
    assert printed == [
        "printed before the pipe was taken",
        "printed in a handler",
        "written to 1",
        "child read 0 bytes",
        "echoed",
        "closed connection_lost",
    ]


async def test_children_inherit_neither_pipe(start: Start) -> None:
    process, parent = start()
    assert process.stdin is not None
    pipes = {os.readlink(f"/proc/self/fd/{fd}") for fd in (parent.to_broker, parent.from_broker)}  # noqa: PTH115
    await parent.write(OPEN + encode_record(Kind.DATA, 1, b"fds"))
    seen = (await parent.read(1))[0].body.decode().split()
    assert seen[0] == os.devnull
    assert not pipes & set(seen)
    process.stdin.close()
    await asyncio.to_thread(process.wait, 10)


PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
child.stdin.write(bytes.fromhex(sys.argv[1]))
child.stdout.read(1)  # it runs
print(child.pid, flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("threads", [None, True])
async def test_the_broker_ends_when_its_parent_is_killed(script: Script, threads: bool | None) -> None:
    """This test kills the parent; nothing of the broker stays."""
    middle = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        (OPEN + encode_record(Kind.DATA, 1, b"hello")).hex(),
        *script(BROKER.replace("THREADS", str(threads))),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert middle.stdout is not None
    assert middle.stderr is not None
    pid = int(await middle.stdout.readline())
    middle.kill()
    await middle.wait()
    async with asyncio.timeout(10):
        printed = await middle.stderr.read()  # the broker shares it: it ends when the broker has gone
        assert printed.splitlines()[-1] == b"closed connection_lost"
        while _lives(pid):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


async def test_a_plain_file_as_input_is_read_by_a_thread(accepted: type[Accepted], tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.write_bytes(OPEN + encode_record(Kind.DATA, 1, b"from a file"))
    output = tmp_path / "output"
    ended, broker = asyncio.Event(), accepted(echo=True)
    server = await serve_stdio(
        broker,
        ended.set,
        stdio=Stdio(os.open(records, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT)),
    )
    async with asyncio.timeout(10):
        await ended.wait()
    server.close()
    await server.wait_closed()
    assert broker.receivers[0].frames == [b"from a file"]
