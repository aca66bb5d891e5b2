"""The simulation at work: clients, broker, channels and clock."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ionbus.generated.protocol import Limits
from ionbus.generated.states import ConnectionState
from ionbus.session.acceptor import refusal
from ionbus.session.connection import Connection
from ionbus.session.session import Session
from ionbus.testing.simulator.broken import Broken, expect
from ionbus.testing.simulator.broker import Broker
from ionbus.testing.simulator.channel import Channel
from ionbus.testing.simulator.client import Client
from ionbus.testing.simulator.clock import Clock
from ionbus.testing.simulator.engines import ConnectionEngine, Draws, Follower, Outlet
from ionbus.testing.simulator.hostile import Tampering
from ionbus.testing.simulator.plan import Plan, Quality
from ionbus.testing.simulator.served import Carrier, Served
from ionbus.testing.simulator.side import Side
from ionbus.testing.simulator.stranger import Stranger

SETTLED_WITHIN: Final = 30_000.0
"""Milliseconds of virtual time after the last fault in which everything has to have come to rest."""
_STORM: Final = 20_000
"""So many things may happen within one stretch of time, else somebody does not come to rest."""

Actor = Client | Served
FollowClient = Callable[[int, Connection, Draws], Follower | None]
FollowSession = Callable[[int, Session], Follower | None]


class World:
    """See the module.

    Args:
        plan: who is there, and how they behave.
        follow_client: given a client's number, its connection and what that draws, makes its follower.
        follow_session: given a client's number and the session that the broker opens for it, makes its follower.
    """

    def __init__(
        self,
        plan: Plan,
        follow_client: FollowClient = lambda *_: None,
        follow_session: FollowSession = lambda *_: None,
    ) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)  # noqa: S311 - a seed is the point of it
        self.clock = Clock()
        self.quality = plan.quality
        self.calm_since = math.inf
        """When the last fault was."""
        self.count = 0
        """Inputs of the acceptors."""
        self.tally: Counter[str] = Counter()
        """What happened, for whoever wants to know how far the simulation reaches."""
        self.sessions: dict[bytes, Served] = {}
        """All sessions that there were, by id."""
        self.follow_session = follow_session
        self._follow_client = follow_client
        self._touched: dict[Actor, None] = {}
        self._dozing: set[Actor] = set()
        self._channels: dict[Channel, Client] = {}
        self._tampering = Tampering(self.rng, lambda: list(self.broker.live))
        self.broker: Broker = Broker(self)
        self.clients = [Client(self, index) for index in range(plan.clients)]
        for client in self.clients:
            client.act()

    @property
    def steps(self) -> int:
        """Inputs that engines and acceptors have taken, and frames that they have given."""
        actors: list[Actor] = [*self.clients, *self.sessions.values()]
        return self.count + sum(actor.engine.count for actor in actors)

    def entropy(self, size: int) -> bytes:
        """What takes the place of a cryptographic source."""
        return self.rng.randbytes(size)

    def make_engine(self, index: int, limits: Limits) -> ConnectionEngine:
        """A client's engine."""
        entropy: Callable[[int], bytes] = self.entropy
        chance: Callable[[], float] = self.rng.random
        if index == self.plan.plain_chance:
            draws = itertools.count(1)
            entropy, chance = lambda size: bytes([next(draws) % 256]) * size, lambda: 0.5
        return ConnectionEngine(
            limits,
            entropy,
            chance,
            self.clock,
            lambda *followed: self._follow_client(index, *followed),
        )

    def make_side(self, owner: str, outlet: Outlet, limits: Limits, *, is_trusted: bool) -> Side | Stranger:
        """The application of a client, or of a session at the broker."""
        if not is_trusted:
            return Stranger(outlet)
        return Side(owner, outlet, limits, self.tally, is_eager=self.plan.is_eager)

    def open_channel(self, client: Client) -> Channel:
        """A client opens a channel to the broker."""
        tampering = None if client.is_trusted else self._tampering
        channel = Channel(self.clock, self.rng, self.quality, tampering)
        channel.join(client, self.broker.accept(channel, client))
        self._channels = {each: owner for each, owner in self._channels.items() if each.is_used}
        self._channels[channel] = client
        return channel

    def touch(self, actor: Actor) -> None:
        """Something happens to it: it is flushed and audited at the end of this turn."""
        self._touched[actor] = None
        self._dozing.discard(actor)

    def served(self, client: Client) -> Served | None:
        """The newest live session of a client."""
        return next((each for each in reversed(self.broker.live.values()) if each.client is client), None)

    def set_quality(self, quality: Quality) -> None:
        """All channels behave so from now on."""
        self.quality = quality
        for channel in self._channels:
            channel.to_broker.quality = channel.to_client.quality = quality

    def resume(self, client: Client) -> None:
        """All channels of a client that are stalled flow again, those that it has given up too."""
        for channel, owner in self._channels.items():
            if owner is client:
                channel.resume()

    def restart(self, *, in_good_order: bool) -> None:
        """The broker's process ends, having said so to everybody or without a word, and another is there: a new epoch."""
        if in_good_order:
            for served in list(self.broker.live.values()):
                self.touch(served)
                served.expel()
            self._end_turn()
        self.broker.stop()
        for channel in list(self._channels):
            carrier = channel.to_broker.receiver
            if not in_good_order:
                channel.cut(0, "both", 0)
            elif isinstance(carrier, Carrier):
                carrier.refuse(refusal("stopping", "the broker stops"))
        self.broker = Broker(self)

    def advance(self, milliseconds: float) -> None:
        """Time passes, and what falls due happens.

        Raises:
            Broken: an invariant does not hold.
        """
        until = self.clock.now + milliseconds
        self._end_turn()
        for _ in range(_STORM):
            actor, deadline = self._next_deadline()
            if min(deadline, self.clock.next) > until:
                self.clock.now = until
                return
            if self.clock.next <= deadline:
                self.clock.take()()
            elif actor is not None:
                self.clock.now = max(self.clock.now, deadline)
                self._tick(actor)
            self._end_turn()
        raise Broken("storm", f"more than {_STORM} things happen within {milliseconds} ms")

    def settle(self) -> None:
        """The faults stop, the applications do what is left to do: everything has to come to rest.

        Raises:
            Broken: it does not, or an invariant does not hold.
        """
        self.calm_since = self.clock.now
        self._tampering.is_on = False
        self.set_quality(replace(self.quality, delay=1, jitter=0, duplicate=0.0, capacity=64))
        for client in self.clients:
            client.refusals = 0
            client.trips.clear()
        for channel in self._channels:
            channel.to_broker.trip = channel.to_client.trip = None
            channel.resume()
        until = self.clock.now + SETTLED_WITHIN
        while not all(self._is_at_rest(client) for client in self.clients):
            if self.clock.now >= until:
                restless = [client.name for client in self.clients if not self._is_at_rest(client)]
                text = f"{restless} are not at rest {SETTLED_WITHIN} ms after the last fault"
                raise Broken("deadlock", text, restless[0])
            for actor in self._actors():
                if isinstance(actor.side, Side):
                    self.touch(actor)
                    actor.side.finish()
            self.advance(100)
        for actor in self._actors():
            if actor.is_trusted and not actor.is_closed:
                held = actor.engine.session.held_bytes
                expect(
                    held == 0, "at rest", f"{held} bytes are held by an engine that is at rest", actor.name
                )

    def close(self) -> None:
        """All clients say that they are done; the broker has to have heard it.

        Raises:
            Broken: it has not, or an invariant does not hold.
        """
        is_open = [client for client in self.clients if client.engine.state == ConnectionState.OPEN]
        for client in self.clients:
            self.touch(client)
            client.close()
        self.advance(1_000)
        for client in is_open:
            if client.is_trusted and (client.served is None or client.served.ended != "closed"):
                raise Broken("close", "its session lives on after its close", client.name)

    # Inside.

    def _actors(self) -> list[Actor]:
        return [*self.clients, *self.broker.live.values()]

    def _next_deadline(self) -> tuple[Actor | None, float]:
        """Who wants to be ticked next, and when."""
        first, earliest = None, math.inf
        for actor in self._actors():
            if actor not in self._dozing:
                deadline = actor.engine.deadline()
                if deadline < earliest:
                    first, earliest = actor, deadline
        return first, earliest

    def _tick(self, actor: Actor) -> None:
        self.touch(actor)
        actor.tick()
        actor.flush()
        if actor.engine.deadline() <= self.clock.now:  # it has something to say, and its channel is full
            self._dozing.add(actor)

    def _end_turn(self) -> None:
        while self._touched:
            touched, self._touched = self._touched, {}
            for actor in touched:
                actor.flush()
                actor.audit()

    def _is_at_rest(self, client: Client) -> bool:
        if not client.is_trusted or client.is_closed:
            return True
        served, side = client.served, client.side
        if client.engine.state != ConnectionState.OPEN or served is None:
            return False
        if served.carrier is None or served.carrier.channel is not client.channel:
            return False
        if not (isinstance(side, Side) and isinstance(served.side, Side)):
            return False
        here, there = client.engine.session, served.engine.session
        return (
            here.sent == here.acked == there.received
            and there.sent == there.acked == here.received
            and not here.unnumbered()
            and not there.unnumbered()
            and side.is_idle
            and served.side.is_idle
        )
