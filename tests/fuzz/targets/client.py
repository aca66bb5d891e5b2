"""A client at work against a hostile broker: calls, streams, subscriptions and handlers under way, and whatever the broker sends.

Whatever it does, no mistake of ours is in the log, and when the client closes nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.grammar import Known, control, damaged, pack
from fuzz.scripts import check
from fuzz.targets.dispatch import ENOUGH, NAMES, PAYLOADS, Channel, Mistakes
from ionbus import Bus, IonbusError
from ionbus.channels.base import Opened, Receiver
from ionbus.client.client_session import ClientSession
from ionbus.generated.protocol import Limits, Message
from workshop import Pair, Workshop

LIMITS: Final = replace(
    Limits(),
    max_requests=12,
    credit_messages=20,
    credit_bytes=5_000,
    max_listeners=4,
    stream_credit_messages=4,
)
ANSWERS: Final = (Message.RESULT, Message.ERROR, Message.ITEM, Message.END)
SENT: Final = (
    *(
        Message.EVENT,
        Message.EVENT,
        Message.EVENT,
        Message.ENVELOPE,
        Message.SUBSCRIBED,
        Message.REFUSED,
        Message.DESCRIBE,
    ),
    *(
        Message.CALL,
        Message.STREAM,
        Message.CANCEL,
        Message.STREAM_CREDIT,
        Message.BEGIN,
        Message.CHUNK,
        Message.ABORT,
    ),
)
LONGEST: Final = 25


class Broker:
    """The hostile end: opens channels, and sends what is decided."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.channel: Channel | None = None
        self.receiver: Receiver | None = None
        self.known = Known(NAMES, PAYLOADS, (262_145, 300_000, 2**28), wrong=100)
        self.received = 0

    async def open(self, receiver: Receiver) -> Opened:
        """An opener."""
        if self.choices.one_in(12):
            raise OSError("refused")
        self.channel, self.receiver, self.received = Channel(), receiver, 0
        return Opened(self.channel, self.choices.pick((None, "token")))

    def asked(self, *kinds: int) -> list[Any]:
        """What the client has sent of these kinds: their second fields."""
        frames = self.channel.frames if self.channel else []
        return [
            each[1] for frame in frames if frame[0] == 0 for each in frame[3:] if each and each[0] in kinds
        ]

    def send(self) -> None:
        """One frame."""
        channel, receiver, choices = self.channel, self.receiver, self.choices
        if channel is None or receiver is None or channel.end is not None:
            return
        hello = next((frame[1] for frame in channel.frames if frame[0] == 1), None)
        if hello is not None and not self.received and not choices.one_in(20):
            frame = pack([2, self._welcome(hello)])
            self.received = -1
        elif choices.one_in(20):
            frame = pack(control(choices, self.known, 1, 2))
        else:
            self.received = max(0, self.received)
            elements = [self._message() for _ in range(choices.below(4) + 1)]
            frame = pack([0, self.received + 1, 0, *elements])
            self.received += len(elements)
        receiver.frame_received(damaged(choices, frame) if choices.one_in(60) else frame)

    def _message(self) -> list[Any]:
        choices, known = self.choices, self.known
        if choices.one_in(40):
            return known.message(choices)
        asked = self.asked(Message.CALL, Message.STREAM)
        if asked and choices.one_in(2):
            return self._about(known.message(choices, choices.pick(ANSWERS)), asked)
        kind = choices.pick(SENT)
        numbers = self.asked(Message.SUBSCRIBE)
        message = known.message(choices, kind)
        if numbers and kind == Message.SUBSCRIBED:
            return self._about(message, numbers)
        if numbers and kind == Message.ENVELOPE:
            return [kind, [choices.pick(numbers)], *message[2:]]
        return message

    def _about(self, message: list[Any], numbers: list[Any]) -> list[Any]:
        return [*message[:1], self.choices.pick(numbers), *message[2:]]

    def _welcome(self, hello: dict[str, Any]) -> dict[str, Any]:
        choices = self.choices
        welcome: dict[str, Any] = {
            "protocol": 1,
            "agent": "fuzz",
            "session": hello["session"],
            "resumed": False,
            "epoch": b"e" * 16,
            "secret": b"s" * 32,
            "received": 0,
            "credit": [1_000_000, 1_000],
            "heartbeat": [5_000, 15_000],
        }
        for key in ("limits", "contracts", "names", "rights", "missed", "reason"):
            if choices.one_in(6):
                welcome[key] = choices.pick(
                    (
                        choices.anything(),
                        list(NAMES),
                        {"emit": ["**"], "call": ["**", 1]},
                        [["workshop", "2.0", "f" * 32]],
                        {"message": choices.number()},
                    )
                )
        if choices.one_in(30):
            welcome[choices.pick(tuple(welcome))] = choices.anything()
        return welcome


class Scene:
    """One event loop for all conversations."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.log = logging.getLogger("ionbus")
        self._was = self.log.propagate
        self.log.propagate = False
        self.mistakes = Mistakes()
        self.log.addHandler(self.mistakes)
        self.loop.set_exception_handler(self._unhandled)

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, IonbusError):
            self.mistakes.found.append(f"{context['message']}: {error!r}")

    def close(self) -> None:
        """The last conversation is over."""
        self.loop.close()
        self.log.removeHandler(self.mistakes)
        self.log.propagate = self._was

    def run(self, data: bytes) -> Outcome:
        """One conversation; each frame of the broker is an input."""
        return self.loop.run_until_complete(self._run(Choices(data)))

    async def _run(self, choices: Choices) -> Outcome:
        broker = Broker(choices)
        contracts = (Workshop,) if choices.one_in(3) else ()
        session = ClientSession(
            broker.open, contracts=contracts, limits=LIMITS, agent="fuzz", may_renew_token=True
        )
        bus = Bus(session)
        await session.start(wait=False)
        tasks = [self.loop.create_task(each) for each in self._work(bus, session, choices)]
        try:
            sent, states = await self._talk(choices, broker, session)
        finally:
            if broker.receiver is not None and broker.channel is not None and broker.channel.end is None:
                broker.receiver.closed(False, "connection_lost", "gone")
            await session.close()
            ended = await self._all_end(tasks)
        if self.mistakes.found:
            raise AssertionError(self.mistakes.found.pop())
        codes = {each.code if isinstance(each, IonbusError) else type(each).__name__ for each in ended}
        return Outcome(f"{' '.join(states[:4])}: {' '.join(sorted(codes)[:5])}", sent)

    async def _talk(self, choices: Choices, broker: Broker, session: ClientSession) -> tuple[int, list[str]]:
        """Let the broker send; how many frames it sent, and the states that the client showed."""
        sent = 0
        states: list[str] = []
        while not choices.is_over and sent < LONGEST:
            sent += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            broker.send()
            if str(session.link.state) not in states:
                states.append(str(session.link.state))
            if (
                choices.one_in(10)
                and broker.receiver is not None
                and broker.channel is not None
                and broker.channel.end is None
            ):
                broker.channel.end = (False, "connection_lost", "cut")
                broker.receiver.closed(False, "connection_lost", "cut")
            if choices.one_in(3):
                session.link.retry()
        return sent, states

    async def _all_end(self, tasks: list[asyncio.Task[Any]]) -> list[Any]:
        """What each of the application's requests came to: none waits for ever, none fails but as it may."""
        for _ in range(ENOUGH):
            if all(task.done() for task in tasks):
                break
            await asyncio.sleep(0)
        waiting = sum(not task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        check(not waiting, f"{waiting} wait for ever")
        for each in ended:
            if isinstance(each, BaseException) and not isinstance(each, IonbusError):
                raise each
        return ended

    def _work(self, bus: Bus, session: ClientSession, choices: Choices) -> Iterator[Any]:
        """What the application does meanwhile."""

        if choices.one_in(3):  # to look at a handler's signature takes longer than a conversation
            _handle(session)

        async def read(upto: int) -> int:
            async with bus.stream(Workshop.count, upto) as items:
                return len([item async for item in items])

        bus.on(Workshop.progress, lambda _: None)
        bus.on("workshop.*", lambda _: None)
        bus.on("**", lambda _: None)
        yield bus.call(Workshop.add, Pair(left=1, right=2))
        yield bus.call(Workshop.wait, "x")
        yield bus.call(Workshop.echo, b"e" * (300_000 if choices.one_in(25) else 1))
        yield read(3)
        yield bus.emit(Workshop.said, "x" * (300_000 if choices.one_in(25) else 1))


def _handle(session: ClientSession) -> None:
    """Answer what the broker may ask."""

    @session.handle(Workshop.question)
    async def question(text: str) -> str:
        return text

    @session.handle(Workshop.numbers)
    async def numbers(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number


def target() -> Target:
    """See the module."""
    scene = Scene()
    return Target("client", scene.run, tuple(corpus("client").values()), longest=1_200, close=scene.close)
