"""A broker that is run as a process: `python backend.py` over stdio, `python backend.py ws://127.0.0.1:0` by hand.

With `brisk` as its last argument its heartbeats are short, so that what takes longer than a silence takes no long time.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

from ionbus import Broker, Call, Contract
from ionbus.generated.protocol import Limits

READING_CHILD = "import sys; print('the child has read', len(sys.stdin.buffer.read(1000)), 'bytes')"


class Backend(Contract, name="backend", version="1.0"):
    """What handlers do to the process that they run in."""

    pid = Call(None, int)
    launcher = Call(None, int, doc="Who has started it, as the system says.")
    echo = Call(bytes, bytes)
    nap = Call(float, None, doc="Wait so many seconds, without occupying anything.")
    noise = Call(None, None, doc="Print in every way that there is.")
    child = Call(None, str, doc="Run a child that reads its standard input and prints: what it said.")
    hang = Call(None, None, timeout=None, doc="Occupy a thread for ever.")
    compute = Call(str, str, timeout=None, doc="Occupy the event loop until a file of that name is there.")


is_brisk = sys.argv[-1] == "brisk"
broker = Broker(Backend, limits=Limits(heartbeat_ms=100, silence_ms=300) if is_brisk else None)


@broker.handle(Backend.pid)
async def pid() -> int:
    return os.getpid()


@broker.handle(Backend.launcher)
async def launcher() -> int:
    return os.getppid()


@broker.handle(Backend.echo)
async def echo(data: bytes) -> bytes:
    return data


@broker.handle(Backend.nap)
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


@broker.handle(Backend.noise)
async def noise() -> None:
    print("printed by a handler")
    sys.stdout.buffer.write(b"written to the buffer of sys.stdout\n")
    sys.stdout.flush()
    os.write(1, b"written to descriptor 1\n")
    await (await asyncio.create_subprocess_exec("echo", "printed by a child")).wait()


@broker.handle(Backend.child)
def child() -> str:
    command = [sys.executable, "-c", READING_CHILD]
    subprocess.run(command, check=True)  # what this one prints goes where its standard output leads
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@broker.handle(Backend.hang)
def hang() -> None:
    threading.Event().wait()


@broker.handle(Backend.compute)
async def compute(until: str) -> str:
    while not Path(until).exists():  # noqa: ASYNC240 - the loop is to be occupied
        pass
    return "computed"


if __name__ == "__main__":
    print("printed before the broker runs", flush=True)
    broker.run(*(url for url in sys.argv[1:] if url != "brisk"), grace=0.5)
