"""`make every-byte`: a short conversation is cut at each of its bytes, in both directions; the session goes on, and all comes about once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ionbus import Bus
from ionbus.channels.base import Accept, Opener
from ionbus.client.client_session import ClientSession
from ionbus.testing import FakeClock
from ionbus.testing.faults import DIRECTIONS, Direction
from trials.byte_wires import Cut, PipeWire, WebSocketWire, Wire
from trials.conversation import LIMITS, check_broker, converse, seen, talk_broker
from trials.report import Report, conclude, say

MakeWire = Callable[[Accept, list[Cut]], Wire]


def websocket(accept: Accept, cuts: list[Cut]) -> Wire:
    return WebSocketWire(accept, cuts, LIMITS)


def pipe(accept: Accept, cuts: list[Cut]) -> Wire:
    return PipeWire(accept, cuts, loses_frames=False)


def pipe_losing_frames(accept: Accept, cuts: list[Cut]) -> Wire:
    return PipeWire(accept, cuts, loses_frames=True)


class Run:
    """Conversations one after the other, each of a client of its own, with one broker."""

    def __init__(self, clock: FakeClock, accept: Accept, make_wire: MakeWire) -> None:
        self._clock = clock
        self._accept = accept
        self._make_wire = make_wire
        self._lengths: dict[Direction, int] = {}

    async def once(self, cuts: list[Cut]) -> Wire:
        """Converse over connections that are cut so; whatever goes wrong tells where."""
        wire = self._make_wire(self._accept, cuts)
        await self._clock.drive(self._converse(wire))
        return wire

    async def lengths(self) -> dict[Direction, int]:
        """How many bytes have arrived by the end of an undisturbed conversation."""
        await self.once([])
        return self._lengths

    async def _converse(self, wire: Wire) -> None:
        async with talking(wire.open):
            self._lengths = {direction: wire.passed[0](direction) for direction in DIRECTIONS}


@asynccontextmanager
async def talking(opener: Opener) -> AsyncIterator[None]:
    """One client's conversation; within the block it is over, and its session is not closed yet."""
    session = ClientSession(opener, contracts=(), limits=LIMITS, agent="t", may_renew_token=True)
    try:
        await session.start(wait=False)
        await converse(Bus(session))
        check_broker(session.link.connection.id.hex())
        yield
    finally:
        await session.close()


MAKE_WIRE: dict[str, MakeWire] = {
    "websocket": websocket,
    "pipe": pipe,
    "pipe_losing_frames": pipe_losing_frames,
}

CutsAt = Callable[[Direction, int], list[Cut]]
"""Where the connections of one conversation are cut: the first one after so many bytes in a direction."""

CUTS_AT: dict[str, CutsAt] = {
    "once": lambda direction, at: [Cut(direction, at)],
    "twice": lambda direction, at: [Cut(direction, at), Cut(direction, at)],
    "twice_then_greeting": lambda direction, at: [
        Cut(direction, at),
        Cut("to_client", 1 + at * 7 % 400),
        Cut("to_broker", 1 + at * 11 % 400),
    ],
    "only_client_sees": lambda direction, at: [Cut(direction, at, "client")],
    "only_broker_sees": lambda direction, at: [Cut(direction, at, "broker")],
}


async def cut_at_each(
    make_wire: MakeWire, cuts_at: CutsAt, directions: Sequence[Direction] = DIRECTIONS, step: int = 1
) -> int:
    """Cut at every byte of a direction, or at each `step`th; how many conversations that were.

    Raises:
        AssertionError: one did not come about as it should; the message says where it was cut.
    """
    seen.clear()
    count = 0
    with FakeClock() as clock:
        async with talk_broker.opened(grace=1.0):
            run = Run(clock, talk_broker.accept_local(), make_wire)
            lengths = await run.lengths()
            for direction in directions:
                for at in range(1, lengths[direction], step):  # with the last byte it is over
                    cuts = cuts_at(direction, at)
                    try:
                        wire = await run.once(cuts)
                        assert len(wire.passed) > 1, "nothing was cut"
                    except Exception as error:
                        raise AssertionError(f"{cuts}: {error!r}") from error
                    count += 1
    return count


def main() -> None:
    """Every way to cut, at every byte of every wire."""
    report = Report("every-byte")
    for name, make_wire in MAKE_WIRE.items():
        for way, cuts_at in CUTS_AT.items():
            try:
                count = asyncio.run(cut_at_each(make_wire, cuts_at))
                report.counts.setdefault("conversations", {}).setdefault(name, {})[way] = count
                say(f"every byte of {name}, {way}: {count} conversations")
            except AssertionError as error:
                report.violated(f"{name}, {way}: {error}")
    conclude(report)


if __name__ == "__main__":
    main()
