"""What an event and a call cost a broker that counts, or does not: `python -m benchmarks.instrumented LOOP on|off`.

The client is a channel in the broker's own process, whose frames are made beforehand, so that the process's CPU is the broker's. Each
line of standard input asks for so many of one kind, as in `events 25600`; the answer is what one of them took, in seconds.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import count, islice

import msgpack

from benchmarks.loops import use_loop
from benchmarks.models import Progress
from benchmarks.payloads import PAYLOADS
from ionbus import Broker, Call, Contract, Event
from ionbus.channels.base import PeerIdentity, Receiver
from ionbus.generated.protocol import Frame, Limits, Message
from ionbus.wire.frames import encode_data

ENDLESS = 2**40
TOGETHER = {"events": 256, "calls": 64}
"""So many are in a frame."""
PAYLOAD = msgpack.packb(PAYLOADS["150B"].make())


class Work(Contract, name="work"):
    said = Event(Progress, source="client")
    echo = Call(Progress, Progress)


class Client:
    """Takes everything, and acknowledges it with what it sends next."""

    kind = "websocket"
    silence_is_fatal = False
    is_writable = True
    max_frame_bytes = 0

    def __init__(self) -> None:
        self._elements = count(1)
        self._answers = 0

    def send(self, frame: bytes) -> None:
        """A frame has come."""

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Nothing is left to be done."""

    def greet(self, receiver: Receiver) -> None:
        """Open a session."""
        hello = {"protocol": 1, "session": bytes(16), "secret": bytes(32), "attempt": 1, "received": 0}
        receiver.frame_received(msgpack.packb([int(Frame.HELLO), {**hello, "credit": [ENDLESS, ENDLESS]}]))

    def frames(self, kind: str, wanted: int) -> Iterator[bytes]:
        """So many events or calls."""
        each = TOGETHER[kind]
        for _ in range(wanted // each):
            numbers = list(islice(self._elements, each))
            if kind == "events":
                elements = [msgpack.packb([int(Message.EVENT), "work.said", PAYLOAD])] * each
                yield encode_data(numbers[0], self._answers, elements, each)
            else:
                elements = [
                    msgpack.packb([int(Message.CALL), number, "work.echo", PAYLOAD, {"deadline": 30_000}])
                    for number in numbers
                ]
                yield encode_data(numbers[0], self._answers, elements, each)
                self._answers += each


async def serve(*, has_meter: bool) -> None:
    """Answer each line of standard input."""
    broker: Broker[None] = Broker(Work, limits=Limits(max_rate=ENDLESS), metrics=has_meter)
    done = {"events": 0, "calls": 0}

    @broker.on(Work.said)
    async def said(_: Progress) -> None:
        done["events"] += 1

    @broker.handle(Work.echo)
    async def echo(progress: Progress) -> Progress:
        done["calls"] += 1
        return progress

    async with broker.opened():
        client = Client()
        receiver = broker.accept_local()(client, PeerIdentity())
        client.greet(receiver)
        for line in sys.stdin:
            kind, wanted = line.split()
            frames = list(client.frames(kind, int(wanted)))
            before = time.process_time()
            for frame in frames:
                expected = done[kind] + TOGETHER[kind]
                asyncio.get_running_loop().call_soon(receiver.frame_received, frame)
                while done[kind] < expected:  # noqa: ASYNC110 - an Event would be set by each handler
                    await asyncio.sleep(0)
            print((time.process_time() - before) / (len(frames) * TOGETHER[kind]), flush=True)


if __name__ == "__main__":
    loop, system = sys.argv[1:]
    use_loop(loop)
    asyncio.run(serve(has_meter=system == "on"))
