"""A broker that is run as a child process: `python chores.py` or `ionbus serve chores:broker`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

from ionbus import Broker, Call, Contract, Event


class Chores(Contract, name="chores", version="1.0"):
    """What can go wrong in a process."""

    pid = Call(None, int)
    loop = Call(None, str, doc="Whose event loop it runs on.")
    add = Call(list[int], int)
    echo = Call(bytes, bytes)
    say = Call(str, None)
    ask_child = Call(None, str)
    environment = Call(None, dict[str, str])
    hang_thread = Call(None, None, timeout=None)
    hang_loop = Call(None, None, timeout=None)
    hang_task = Call(None, None, timeout=None)
    hung = Call(None, int, doc="How many tasks hang.")
    compute = Call(float, None, timeout=None)
    nap = Call(float, str, doc="Takes so many seconds.")
    told = Event(str)
    tell = Call(str, None)


broker = Broker(Chores)


@broker.handle(Chores.pid)
async def pid() -> int:
    return os.getpid()


@broker.handle(Chores.loop)
async def loop() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@broker.handle(Chores.add)
async def add(numbers: list[int]) -> int:
    return sum(numbers)


@broker.handle(Chores.echo)
async def echo(data: bytes) -> bytes:
    return data


@broker.handle(Chores.say)
async def say(text: str) -> None:
    print(text)
    sys.stdout.write(f"{text} again\n")
    sys.stdout.flush()
    os.write(1, f"{text} on descriptor 1\n".encode())


@broker.handle(Chores.ask_child)
def ask_child() -> str:
    """A child that reads its standard input and prints: both are not the pipe's."""
    code = "import sys; print('read', len(sys.stdin.read(1000)))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    subprocess.run([sys.executable, "-c", "print('noise')"], check=True)
    return done.stdout.strip()


@broker.handle(Chores.environment)
async def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("IONBUS_")}


@broker.handle(Chores.hang_thread)
def hang_thread() -> None:
    threading.Event().wait()


@broker.handle(Chores.hang_loop)
async def hang_loop() -> None:
    threading.Event().wait()  # an async handler that blocks the loop for good


hanging: set[asyncio.Task[None] | None] = set()


@broker.handle(Chores.hang_task)
async def hang_task() -> None:
    hanging.add(asyncio.current_task())
    try:
        await asyncio.Event().wait()
    finally:
        hanging.discard(asyncio.current_task())


@broker.handle(Chores.hung)
async def hung() -> int:
    return len(hanging)


@broker.handle(Chores.compute)
async def compute(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - a handler that computes without awaiting


@broker.handle(Chores.nap)
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "rested"


@broker.handle(Chores.tell)
async def tell(text: str) -> None:
    await broker.emit(Chores.told, text)


if __name__ == "__main__":
    print("chores are ready", flush=True)
    broker.run(grace=0.5)
