"""What the benchmark's two sides agree on."""

from benchmarks.models import Progress, Result, Tick
from ionbus import Call, Contract, Event


class Bench(Contract, name="bench", version="1.0"):
    """A call, an event each way, for each kind of payload; and what the measuring needs."""

    call_tick = Call(Tick, Tick)
    call_progress = Call(Progress, Progress)
    call_result = Call(Result, Result)
    in_tick = Event(Tick, source="client")
    in_progress = Event(Progress, source="client")
    in_result = Event(Result, source="client")
    out_tick = Event(Tick)
    out_progress = Event(Progress)
    out_result = Event(Result)
    received = Call(int, int)
    usage = Call(None, float)
    publish_tick = Call(int, None)
    publish_progress = Call(int, None)
    publish_result = Call(int, None)
