"""A simulated client: its connection, whatever channel it has, and its application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ionbus.generated.states import ConnectionState
from ionbus.session.acceptor import Refusal
from ionbus.session.connection import (
    CloseChannel,
    ConnectionEffect,
    OpenChannel,
    SessionEnded,
    SessionReplaced,
    StateChange,
)
from ionbus.session.session import Delivered, Rejected
from ionbus.testing.simulator.audit import audit
from ionbus.testing.simulator.broken import Broken, expect
from ionbus.testing.simulator.channel import Channel
from ionbus.testing.simulator.engines import ConnectionEngine
from ionbus.testing.simulator.side import Side
from ionbus.testing.simulator.stranger import Stranger

if TYPE_CHECKING:
    from ionbus.testing.simulator.plan import Direction, Noticed
    from ionbus.testing.simulator.served import Served
    from ionbus.testing.simulator.world import World

_INNOCENT: Final = frozenset(
    (
        "closed",
        "connection_lost",
        "handshake_timeout",
        "rate_limited",
        "session_lost",
        "slow_consumer",
        "stopping",
    )
)
"""Codes with which the channel of a client that does nothing wrong may end."""


class Client:
    """See the module.

    Args:
        world: the simulation.
        index: which of the clients.
    """

    def __init__(self, world: World, index: int) -> None:
        self.index = index
        self.name = f"client {index}"
        self.limits = world.plan.limits("client")
        self.is_trusted = world.plan.hostile != index
        self.channel: Channel | None = None
        self.served: Served | None = None
        """The session that it knows it is in."""
        self.refusals = 0
        """So many more channels cannot be opened."""
        self.trips: dict[Direction, tuple[int, Noticed, int]] = {}
        """What the next channel is cut after."""
        self._world = world
        self._is_closed_by_us = False
        self._acked = 0
        self.engine: ConnectionEngine = world.make_engine(index, self.limits)
        self.side = world.make_side(self.name, self.engine.outlet, self.limits, is_trusted=self.is_trusted)

    @property
    def is_closed(self) -> bool:
        """Whether it is over for good."""
        return self.engine.state == ConnectionState.CLOSED

    # What is done to it.

    def close(self) -> None:
        """The application closes the bus."""
        self._is_closed_by_us = True
        self.flush()
        self.engine.close()
        self.act()

    def retry(self) -> None:
        """The platform says that the network is back."""
        self.engine.retry()
        self.act()
        self.flush()

    def tick(self) -> None:
        """Its deadline has come."""
        self.engine.tick()
        self.act()
        self.flush()

    def cut(self, kept: int, noticed: Noticed, later: int) -> None:
        """Its channel is lost."""
        if self.channel is not None:
            self.channel.cut(kept, noticed, self._told_after(later))

    def stall(self, direction: Direction) -> None:
        """Nothing arrives any more in one direction."""
        if self.channel is not None:
            self.channel.pipe(direction).is_stalled = True

    def trip(self, direction: Direction, frames: int, noticed: Noticed, later: int) -> None:
        """Its channel, or the next one, is lost after so many more frames in one direction."""
        if self.channel is None:
            self.trips[direction] = (frames, noticed, later)
        else:
            self._set_trip(self.channel, direction, (frames, noticed, later))

    # What its channel says.

    def frame_received(self, frame: bytes) -> None:
        """A frame has arrived."""
        self._world.touch(self)
        self._acked = self.engine.session.acked
        self.engine.receive(frame)
        self.act()
        self.flush()
        served = self.served
        if served is not None and isinstance(served.side, Side) and served.client is self and self.is_trusted:
            served.side.sender.ledger.taken(self.engine.session.received)

    def writable(self) -> None:
        """The channel has caught up."""
        self.flush()

    def closed(self, over: bool, code: str) -> None:
        """The channel is gone."""
        self._world.touch(self)
        self._drop()
        self.engine.lost(code, "the channel has ended")
        self.act()

    def judge_refusal(self, refused: Refusal, channel: Channel) -> None:
        """The broker refuses a HELLO: a client that does nothing wrong is refused for few reasons."""
        if not self.is_trusted or refused.code in _INNOCENT:
            return
        # A HELLO that comes late, on a channel that the client has given up, may be told so, or that its secret is not good any more.
        if refused.code in ("evicted", "stale_attempt", "unauthenticated") and channel is not self.channel:
            return
        raise Broken("refused", f"{refused.code}: {refused.message}", self.name)

    # Its engine.

    def flush(self) -> None:
        """Send what there is, as long as the channel takes it."""
        while self.channel is not None and self.channel.to_broker.is_writable:
            frame = self.engine.next_frame()
            if frame is None:
                return
            if isinstance(self.side, Side) and self.served is not None:
                granted = self.served.engine.session.granted
                self.side.sender.wire.leaves(frame, self.engine.session, granted)
            self.channel.to_broker.send(frame)

    def act(self) -> None:
        """Do what the engine wants, in its order."""
        for effect in self.engine.effects():
            self._do(effect)

    def audit(self) -> None:
        """Hold the engine's accounts against what is there."""
        audit(
            self.engine.session,
            self.limits,
            self.side.sender if isinstance(self.side, Side) else None,
            self.name,
        )

    # Inside.

    def _do(self, effect: ConnectionEffect) -> None:
        match effect:
            case OpenChannel():
                self._world.clock.after(self._world.plan.quality.delay, self._open)
            case CloseChannel():
                self._close_channel(effect)
            case StateChange():
                if effect.outcome is not None and isinstance(self.side, Side):
                    self._welcomed(effect, self.side)
            case SessionReplaced():
                if isinstance(self.side, Side):
                    self.side.replaced(effect.unnumbered, effect.lost_events, self._acked)
            case SessionEnded():
                if self.is_trusted and not self._is_closed_by_us:
                    raise Broken("closed", f"it is over with {effect.code}: {effect.message}", self.name)
                if isinstance(self.side, Side):
                    self.side.sender.ledger.ended(self.engine.session.acked, effect.code)
                self.side.ended()
            case Delivered():
                self._arrived(effect)
            case Rejected():
                if isinstance(self.side, Side):
                    self.side.rejected(effect, self._world.plan.limits("broker").max_message_bytes)

    def _open(self) -> None:
        if self.engine.connection.state not in _OPENING or self.channel is not None:
            return
        self._world.touch(self)
        if self.refusals > 0 or self._world.broker.is_stopped:
            self.refusals = max(0, self.refusals - 1)
            self.engine.failed("nobody listens")
            self.act()
            return
        self.channel = self._world.open_channel(self)
        for direction, trip in self.trips.items():
            self._set_trip(self.channel, direction, trip)
        self.trips.clear()
        self.engine.opened(self._world.plan.quality.silence_is_fatal)
        self.act()
        self.flush()

    def _set_trip(self, channel: Channel, direction: Direction, trip: tuple[int, Noticed, int]) -> None:
        frames, noticed, later = trip
        told_after = self._told_after(later)
        channel.pipe(direction).trip = (max(1, frames), lambda: channel.cut(0, noticed, told_after))

    def _told_after(self, milliseconds: int) -> int:
        """On a pipe, whose silence ends nothing, either end is told of the other's."""
        is_fatal = self._world.plan.quality.silence_is_fatal
        return milliseconds if is_fatal else min(milliseconds, 3_000)

    def _close_channel(self, effect: CloseChannel) -> None:
        if self.is_trusted and effect.code not in _INNOCENT:
            raise Broken("violation", f"{effect.code}: {effect.message}", self.name)
        channel = self.channel
        if channel is not None:
            while (last := self.engine.next_frame()) is not None:  # CLOSE, also where the channel is full
                channel.to_broker.send(last)
            self._drop()
            channel.to_broker.close(effect.over, effect.code)

    def _drop(self) -> None:
        if self.channel is not None:
            self.channel.leave(self)
            self.channel = None

    def _welcomed(self, change: StateChange, side: Side) -> None:
        """A session goes on, is the first, or takes the place of one that was lost: what is told has to be true."""
        old, new = self.served, self._world.sessions[self.engine.connection.id]
        self._world.tally[f"told {change.outcome}"] += 1
        if change.outcome == "fresh":
            is_true = old is None
        elif change.outcome == "resumed":
            is_true = new is old
        else:
            is_true = old is not None and new is not old and old.ended is not None
        if not is_true:
            was = "none" if old is None else f"one that is {old.ended or 'live'}"
            raise Broken("outcome", f"{change.outcome} is told; its session was {was}", self.name)
        if change.outcome == "lost" and old is not None:
            new.broker.judge_loss(old, change)
        self.served = new
        new.peer = side
        received = self.engine.connection.welcome["received"]
        if change.outcome == "resumed":
            expect(
                change.replayed == side.sender.wire.sent - received,
                "replayed",
                f"{change.replayed}",
                self.name,
            )
        side.sender.wire.attached(received)

    def _arrived(self, arrival: Delivered) -> None:
        if isinstance(self.side, Stranger):
            self.side.endure(arrival.message)
            return
        served = self.served
        if served is None or not isinstance(served.side, Side):
            raise Broken("greeting", f"{arrival} arrives before WELCOME", self.name)
        self.side.arrived(served.side.sender.ledger.arrives(arrival.seq, arrival.message))


_OPENING: Final = (ConnectionState.CONNECTING, ConnectionState.RECONNECTING)
