"""A broker at work against a client whose messages are well formed and hostile, beside a neighbour whose calls go on being answered.

No socket: frames go straight to what the channel's server would have called. Whatever the client does, it is answered, refused
message by message, or its channel is closed with a code; no mistake of ours is in the log, no other session notices, and nothing
is left of it once it has gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import msgpack

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.grammar import Known, control, damaged, pack
from fuzz.scripts import check
from ionbus.channels.base import PeerIdentity, Receiver
from ionbus.errors import IonbusError, SessionLost
from ionbus.generated.protocol import Limits, Message
from workshop import Workshop, make_broker

LIMITS: Final = replace(
    Limits(),
    max_requests=12,
    max_streams=3,
    max_request_bytes=3_000,
    max_answer_bytes=3_000,
    max_subscriptions=6,
    credit_messages=20,
    credit_bytes=5_000,
    max_queued_bytes=5_000,
    replay_elements=200,
    replay_bytes=20_000,
    max_listeners=4,
    max_threads=4,
    max_rate=10_000_000,
    remember_ended=200,
)
# Not `report`: it emits as often as it is told, and never waits where nobody has subscribed.
NAMES: Final = tuple(
    f"workshop.{name}"
    for name in (
        *(
            "add",
            "echo",
            "wait",
            "ask_back",
            "hurried",
            "count",
            "count_on_thread",
            "total",
            "progress",
        ),
        *("noticed", "glimpsed", "said", "shouted", "pinged", "sized", "question", "numbers", "nothing"),
    )
)
PAYLOADS: Final = tuple(
    map(
        pack,
        (
            {"left": 1, "right": 2},
            {"left": 2_000, "right": 0},
            b"bytes",
            "text",
            3,
            9_000,
            None,
            [1, 2],
            {"job": "a", "percent": 1.5},
        ),
    )
)
ANSWERS: Final = (Message.RESULT, Message.ERROR, Message.ITEM, Message.END)
ASKED: Final = (
    *(Message.CALL, Message.CALL, Message.CALL, Message.STREAM, Message.STREAM, Message.EVENT, Message.EVENT),
    *(
        Message.CANCEL,
        Message.STREAM_CREDIT,
        Message.SUBSCRIBE,
        Message.UNSUBSCRIBE,
        Message.ANNOUNCE,
        Message.DESCRIPTION,
    ),
    *(Message.BEGIN, Message.CHUNK, Message.ABORT),
)
ASKS: Final = (Message.CALL, Message.STREAM)
ENDS: Final = (Message.RESULT, Message.ERROR, Message.END)
LONGEST: Final = 30
"""Frames of one conversation."""

ENOUGH: Final = 200
"""Turns of the event loop in which everything that was begun comes to rest."""


class Channel:
    """What the broker sends to, instead of a socket."""

    kind = "memory"
    silence_is_fatal = False

    def __init__(self) -> None:
        self.is_writable = True
        self.max_frame_bytes = 16_384
        self.frames: list[list[Any]] = []
        self.end: tuple[bool, str, str] | None = None

    def send(self, frame: bytes) -> None:
        check(self.end is None or self.end[1] == "connection_lost", "a frame behind the end of a channel")
        check(len(frame) <= Limits().max_frame_bytes, f"a frame of {len(frame)} bytes")
        self.frames.append(msgpack.unpackb(frame))

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        self.end = (over, code, message)


class Mistakes(logging.Handler):
    """Mistakes of ours that are only in the log: a user's handler may fail, and here does so by what the client answers."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is not the client's doing."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, IonbusError):
            self.found.append(f"{record.getMessage()}: {error!r}")


class Scene:
    """A broker and a neighbour, for as long as the target lives."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.log = logging.getLogger("ionbus")
        self._was = (self.log.propagate, self.log.level)
        self.log.propagate = False
        self.mistakes = Mistakes()
        self.log.addHandler(self.mistakes)
        self.runs = 0
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        broker = make_broker(LIMITS)
        self.serving = await self._stack.enter_async_context(broker.opened(grace=0.5))
        self.accept = broker.accept_local()
        self.neighbour = Channel()
        self.good = self.accept(self.neighbour, PeerIdentity("client"))
        self.good.frame_received(hello(b"n" * 16))
        self.calls = 0
        await self._neighbour_calls()

    def close(self) -> None:
        """Stop the broker."""
        self.loop.run_until_complete(self._stack.aclose())
        self.loop.close()
        self.log.removeHandler(self.mistakes)
        self.log.propagate, _ = self._was

    def run(self, data: bytes) -> Outcome:
        """One conversation; each frame of the client is an input."""
        return self.loop.run_until_complete(self._run(Choices(data)))

    async def _run(self, choices: Choices) -> Outcome:
        self.runs += 1
        channel = Channel()
        carrier = self.accept(channel, PeerIdentity(choices.pick(("client", "window", "main"))))
        try:
            sent = await self._talk(choices, channel, carrier)
        finally:
            carrier.closed(True, "closed", "gone")
            for session in (
                self.serving.sessions
            ):  # after a violation it stays, and would end when it was absent for too long
                if session.carrier is not self.good:
                    self.serving.end(session, "absent", SessionLost("the client is absent"))
        await self._is_at_rest()
        bench = self.serving.state  # the handlers of tests/workshop.py remember all that they saw
        for seen in (bench.started, bench.ended, bench.heard, bench.contexts, bench.gates):
            seen.clear()
        if self.runs % 8 == 0:
            await self._neighbour_calls()
        if self.mistakes.found:
            raise AssertionError(self.mistakes.found.pop())
        closed = next((frame[1] for frame in channel.frames if frame[0] == 3), None)
        answers = {element[0] for frame in channel.frames if frame[0] == 0 for element in frame[3:]}
        return Outcome(f"{closed}: {' '.join(str(each) for each in sorted(answers)[:6])}", max(1, sent))

    async def _talk(self, choices: Choices, channel: Channel, carrier: Receiver) -> int:
        """Send what is decided, and look at what comes back; how many frames were sent."""
        carrier.frame_received(hello(self.runs.to_bytes(16, "big"), choices))
        known = Known(NAMES, PAYLOADS, (262_145, 300_000, 2**28), wrong=200)
        sent = received = 0
        asked: Counter[Any] = Counter()
        said_close = is_damaged = False
        while not choices.is_over and sent < LONGEST and channel.end is None:
            sent += 1
            elements = [self._message(choices, known, channel) for _ in range(choices.below(4) + 1)]
            frame = pack([0, received + 1, 0 if choices.one_in(3) else self._sent_to(channel), *elements])
            received += len(elements)
            asked.update(
                each[1] for each in elements if len(each) > 1 and each[0] in ASKS and type(each[1]) is int
            )
            if choices.one_in(50):
                frame = pack(control(choices, known, self._sent_to(channel)))
                received -= len(elements)
            elif choices.one_in(100):
                frame, is_damaged = damaged(choices, frame), True
            said_close = frame[1:2] == b"\x03"
            carrier.frame_received(frame)
            if choices.one_in(4):
                channel.is_writable = not channel.is_writable
                if channel.is_writable and channel.end is None:
                    carrier.writable()
            for _ in range(choices.below(4)):
                await asyncio.sleep(0)
        self._check_frames(channel, None if is_damaged else asked)
        closed = any(frame[0] == 3 for frame in channel.frames)
        check(channel.end is None or closed or said_close, "a channel that was closed without CLOSE")
        return sent

    @staticmethod
    def _message(choices: Choices, known: Known, channel: Channel) -> list[Any]:
        """Most often something that a client may send now."""
        if choices.one_in(60):
            return known.message(choices)
        asked = [
            each[1]
            for frame in channel.frames
            if frame[0] == 0
            for each in frame[3:]
            if each and each[0] in (2, 6)
        ]
        if asked and choices.one_in(2):
            answer = known.message(choices, choices.pick(ANSWERS))
            answer[1:2] = [choices.pick(asked[-3:])]
            return answer
        return known.message(choices, choices.pick(ASKED))

    @staticmethod
    def _sent_to(channel: Channel) -> int:
        """The number of the last element that the client has."""
        return max((frame[1] + len(frame) - 4 for frame in channel.frames if frame[0] == 0), default=0)

    @staticmethod
    def _check_frames(channel: Channel, asked: Counter[Any] | None) -> None:
        """Numbers without a gap, and no request answered more often than it was asked, where that is known."""
        next_seq = 1
        answered: Counter[Any] = Counter()
        for frame in channel.frames:
            if frame[0] != 0:
                continue
            check(frame[1] == next_seq, f"element {frame[1]} where {next_seq} is due")
            next_seq += len(frame) - 3
            answered.update(each[1] for each in frame[3:] if each is not None and each[0] in ENDS)
        check(asked is None or not answered - asked, f"answered {answered} of {asked}")

    async def _is_at_rest(self) -> None:
        """Nothing is left of the client that has gone."""
        serving = self.serving
        for _ in range(ENOUGH):
            if len(serving.sessions) == 1 and not serving._finishing:
                break
            await asyncio.sleep(0.0005 if serving._finishing else 0)  # a handler may be on a thread
        check(len(serving.sessions) == 1, f"{len(serving.sessions)} sessions are left")
        check(len(serving.carriers) == 1, f"{len(serving.carriers)} carriers are left")
        check(
            serving.held_bytes <= serving.sessions[0].held_bytes,
            f"{serving.held_bytes} bytes are kept for nobody",
        )
        check(len(serving._finishing) < 50, f"{len(serving._finishing)} handlers do not end")

    async def _neighbour_calls(self) -> None:
        """The neighbour's call is answered, with the sum."""
        self.calls += 1
        channel = self.neighbour
        channel.frames.clear()
        call = [Message.CALL, self.calls, "workshop.add", pack({"left": self.calls % 1_000, "right": 1})]
        self.good.frame_received(pack([0, self.calls, self.calls - 1, call]))
        answer = [Message.RESULT, self.calls, pack(self.calls % 1_000 + 1)]
        for _ in range(ENOUGH):
            if any(answer in frame[3:] for frame in channel.frames if frame[0] == 0):
                return
            await asyncio.sleep(0)
        raise AssertionError(
            f"the neighbour's call {self.calls} is not answered: {channel.frames} {channel.end}"
        )


def hello(session: bytes, choices: Choices | None = None) -> bytes:
    """A first frame, most often a right one."""
    greeting: dict[str, Any] = {
        "protocol": 1,
        "agent": "fuzz",
        "session": session,
        "secret": b"k" * 32,
        "attempt": 1,
        "received": 0,
        "credit": [4_194_304, 4_096],
    }
    if choices is not None:
        if choices.one_in(3):
            greeting["credit"] = [choices.pick((0, 10, 2**53 - 1)), choices.pick((0, 1, 2**53 - 1))]
        if choices.one_in(4):
            greeting["limits"] = {"message": choices.pick((0, 100, 2**53 - 1))}
        if choices.one_in(4):
            info = Workshop.__contract__
            greeting["contracts"] = [
                ["workshop", "1.0", choices.pick((info.fingerprint, "f" * 32, choices.text()))]
            ]
        if choices.one_in(50):
            greeting[choices.pick(tuple(greeting))] = choices.anything()
    return pack([1, greeting])


def target() -> Target:
    """See the module."""
    scene = Scene()
    return Target("dispatch", scene.run, tuple(corpus("dispatch").values()), longest=1_500, close=scene.close)
