"""Emits events to one listener in this process: `python -m benchmarks.emitting ionbus 150B 1`, for the workload `emitter`.

Arguments: by what (`ionbus`, `pyee`), which payload (`text`, `150B`), and how many subscriptions to other events there are besides. It reads
lines with a number from stdin, emits that often, and writes the microseconds of CPU that one took.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from pyee import EventEmitter

from benchmarks.models import Progress
from benchmarks.payloads import PAYLOADS
from ionbus import Contract, Emitter, Event

Emit = Callable[[], object]


class Work(Contract, name="work"):
    """What is emitted."""

    progress = Event(Progress)
    said = Event(str)


def listen(_: object) -> None:
    """Hear an event."""


def by_ionbus(payload: str, others: int) -> Emit:
    emitter = Emitter()
    event, value = _event(payload)
    emitter.on(event, listen)
    for number in range(others):
        emitter.on(f"other{number}.*" if number % 2 else f"other.of{number}", listen)
    emit = emitter.emit_nowait
    return lambda: emit(event, value)


def by_pyee(payload: str, others: int) -> Emit:
    emitter = EventEmitter()
    _, value = _event(payload)
    emitter.on("work.progress", listen)
    for number in range(others):
        emitter.on(f"other.of{number}", listen)
    emit = emitter.emit
    return lambda: emit("work.progress", value)


def _event(payload: str) -> tuple[Any, Any]:
    """An event, and what is emitted: text, or a model, which ionbus validates each time."""
    if payload == "text":
        return Work.said, "Resized 17 of 40 images"
    return Work.progress, Progress(**PAYLOADS[payload].make())


def main(by: str, payload: str, others: str) -> None:
    emit = {"ionbus": by_ionbus, "pyee": by_pyee}[by](payload, int(others))
    for line in sys.stdin:
        rounds = range(int(line))
        before = time.process_time()
        for _ in rounds:
            emit()
        print((time.process_time() - before) / len(rounds) * 1e6, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
