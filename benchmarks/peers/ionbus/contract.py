"""What the benchmark's two sides agree on."""

from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from benchmarks.models import Progress, Result, Tick
from ionbus import Call, Contract, Event, Stream


class Counted(Progress):
    """Counts how often one of it is written out."""

    written: ClassVar[int] = 0

    @model_serializer(mode="wrap")
    def _count(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        Counted.written += 1
        fields: dict[str, Any] = write(self)
        return fields


class Bench(Contract, name="bench", version="1.0"):
    """A call, an event each way, for each kind of payload; a stream, bytes, and what the measuring needs."""

    call_tick = Call(Tick, Tick)
    call_progress = Call(Progress, Progress)
    call_result = Call(Result, Result)
    in_tick = Event(Tick, source="client")
    in_progress = Event(Progress, source="client")
    in_result = Event(Result, source="client")
    received = Call(int, int)
    out_tick = Event(Tick)
    out_progress = Event(Progress)
    out_result = Event(Result)
    publish_tick = Call(int, None)
    publish_progress = Call(int, None)
    publish_result = Call(int, None)
    out_latest = Event(Progress, delivery="latest", key="nodeId")
    publish_latest = Call(int, float)
    out_counted = Event(Counted)
    publish_counted = Call(int, int)
    items = Stream(int, Progress)
    put = Call(bytes, int)
    get = Call(int, bytes)
    usage = Call(None, float)
