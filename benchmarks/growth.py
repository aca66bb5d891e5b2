"""What an event costs a broker that has more of something: `python -m benchmarks.growth LOOP NAMES SUBSCRIPTIONS SESSIONS BACKLOG`.

The clients are channels in the broker's own process that take everything, acknowledge it and give endless credit, and do next to
nothing for that, so that the process's CPU is the broker's. Each line of standard input asks for so many events; the answer is what
one of them took, in seconds.
"""

import asyncio
import sys
import time
import types
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import msgpack

from benchmarks.loops import use_loop
from benchmarks.models import Progress
from benchmarks.payloads import PAYLOADS
from ionbus import Broker, Contract, Event
from ionbus.channels.base import PeerIdentity, Receiver
from ionbus.generated.protocol import Frame, Limits, Message

ENDLESS = 2**50
LIMITS = replace(
    Limits(), max_subscriptions=ENDLESS, max_rate=ENDLESS, replay_elements=ENDLESS, replay_bytes=ENDLESS
)
TURN = 100
"""Events between two rests, in which frames leave and are acknowledged."""


class Taker:
    """A client that takes everything.

    Args:
        number: its own among the clients.
        backlog: how many elements it leaves unacknowledged.
    """

    kind = "websocket"
    silence_is_fatal = False
    is_writable = True
    max_frame_bytes = 0

    def __init__(self, number: int, backlog: int) -> None:
        self._number = number
        self._backlog = backlog
        self._receiver: Receiver | None = None
        self._last = b""

    def use(self, receiver: Receiver, patterns: list[str]) -> None:
        """Greet, and subscribe to these."""
        self._receiver = receiver
        session = self._number.to_bytes(16, "big")
        hello = {"protocol": 1, "session": session, "secret": bytes(32), "attempt": 1, "received": 0}
        self._tell(Frame.HELLO, {**hello, "credit": [ENDLESS, ENDLESS]})
        for number, pattern in enumerate(patterns, 1):
            self._tell(Frame.DATA, number, 0, [int(Message.SUBSCRIBE), number, pattern])

    def send(self, frame: bytes) -> None:
        """A frame has come."""
        self._last = frame

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Nothing is left to be done."""

    def acknowledge(self) -> None:
        """Say what has come, but for the backlog."""
        fields = msgpack.unpackb(self._last)
        if fields[0] == Frame.DATA:
            received = fields[1] + len(fields) - 4
            self._tell(Frame.ACK, max(0, received - self._backlog))

    def _tell(self, kind: Frame, *fields: object) -> None:
        assert self._receiver is not None
        self._receiver.frame_received(msgpack.packb([int(kind), *fields]))


async def serve(names: int, subscriptions: int, sessions: int, backlog: int) -> None:
    """Answer each line of standard input."""
    events = {f"event_{number}": Event(Progress) for number in range(names)}
    contract = types.new_class("Many", (Contract,), {"name": "many"}, lambda body: body.update(events))
    broker: Broker[Any] = Broker(contract, limits=LIMITS)
    patterns = [event.name for event in events.values()]
    patterns += [f"many.event_0.never_{number}.*" for number in range(subscriptions - 1)]
    payload = Progress.model_validate(PAYLOADS["150B"].make())
    upcoming = cycle(events.values())
    async with broker.opened():
        takers = [Taker(number, backlog) for number in range(1, sessions + 1)]
        for taker in takers:
            taker.use(broker.accept_local()(taker, PeerIdentity()), patterns)
        for line in sys.stdin:
            before, count = time.process_time(), int(line)
            for start in range(0, count, TURN):
                for event in islice(upcoming, min(TURN, count - start)):
                    await broker.emit(event, payload)
                await asyncio.sleep(0)
                for taker in takers:
                    taker.acknowledge()
            print((time.process_time() - before) / count, flush=True)


if __name__ == "__main__":
    loop, *numbers = sys.argv[1:]
    use_loop(loop)
    asyncio.run(serve(*map(int, numbers)))
