# mypy: ignore-errors
"""What type checkers accept of an emitter, and what they refuse (test_typing.py)."""

import asyncio

from pydantic import BaseModel

from ionbus import Contract, Emitter, Event, ListenerFailure, Received


class Progress(BaseModel):
    percent: float


class Conductor(Contract, name="conductor"):
    progress = Event(Progress)
    finished = Event(str)
    pinged = Event(None)


def tell(failure: ListenerFailure) -> None:
    print(failure.event, failure.error)


emitter = Emitter(Conductor, on_error=tell, max_listeners=10, max_depth=3, listener_timeout=1.5)
Emitter(on_error=lambda failure: failure.nothing)  # error
Emitter(Conductor.progress)  # error


def show(progress: Progress) -> None:
    emitter.off(Conductor.progress, show)


async def show_later(progress: Progress) -> int:
    return int(progress.percent)


def show_text(text: str) -> None:
    print(text)


def show_any(received: Received[object]) -> None:
    if Conductor.progress.matches(received):
        print(received.payload.percent)
    print(received.payload.percent)  # error


async def main(group: asyncio.TaskGroup, task: asyncio.Task[int]) -> None:
    emitter.on(Conductor.progress, show)
    emitter.on(Conductor.progress, show_later, weak=True, until=group)
    emitter.once(Conductor.progress, lambda progress: progress.percent, until=task)
    emitter.on("conductor.*", show_any)
    emitter.on(Conductor, show_any)
    emitter.on(Conductor.progress, show_text)  # error
    emitter.on(Conductor.progress, lambda progress: progress.text)  # error
    emitter.on(Conductor, show)  # error
    emitter.on(5, show)  # error
    emitter.on(Conductor.progress, show, until=5)  # error

    @emitter.on(Conductor.progress)
    def decorated(progress: Progress) -> None: ...

    @emitter.on(Conductor.progress)  # error # mypy tells it here
    def wrong(text: str) -> None: ...

    await emitter.emit(Conductor.progress, Progress(percent=1))
    emitter.emit_nowait(Conductor.finished, "done")
    await emitter.emit(Conductor.pinged)
    await emitter.emit(Conductor.progress, "done")  # error
    await emitter.emit(Conductor.progress)  # error
    emitter.emit_nowait(Conductor.finished, 5)  # error
    await emitter.emit("conductor.finished", "done")  # error

    progress = await emitter.wait_for(Conductor.progress, lambda progress: progress.percent > 5, timeout=1)
    print(progress.percent)
    print(progress.text)  # error
    await emitter.wait_for(Conductor.finished, lambda text: text.percent)  # error
    async with emitter.events(Conductor.progress, limit=5, overflow="oldest") as events:
        async for event in events:
            print(event.percent)
            print(event.text)  # error
    emitter.events(Conductor.progress, overflow="some")  # error
    async with emitter.on(Conductor.progress, show) as subscription:
        subscription.close()
