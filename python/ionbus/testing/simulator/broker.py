"""The simulated broker: the acceptor, and what a broker does around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ionbus.session.acceptor import Acceptor, Hello, Refusal, Welcomed
from ionbus.session.connection import StateChange
from ionbus.testing.simulator.audit import remembered
from ionbus.testing.simulator.broken import Broken, expect
from ionbus.testing.simulator.served import Carrier, Served
from ionbus.testing.simulator.side import Side

if TYPE_CHECKING:
    from ionbus.testing.simulator.channel import Channel
    from ionbus.testing.simulator.client import Client
    from ionbus.testing.simulator.world import World

TICK: Final = 1_000.0
"""Milliseconds between two looks at the sessions that are absent."""


class Broker:
    """One process: a restart makes another.

    Args:
        world: the simulation.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.live: dict[bytes, Served] = {}
        self.is_stopped = False
        self._limits = world.plan.limits("broker")
        self.acceptor = Acceptor(self._limits, world.entropy, "broker", [])
        self._ended: list[tuple[Served, float]] = []
        self._tick()

    def accept(self, channel: Channel, client: Client) -> Carrier:
        """A client has opened a channel."""
        return Carrier(self, channel, client)

    def welcome(self, hello: Hello, carrier: Carrier) -> Welcomed | Refusal:
        """Let the acceptor decide; what it says of lost sessions has to be true."""
        self.world.count += 1
        client = carrier.client
        answer = self.acceptor.welcome(hello, client.index, carrier, self.world.clock.now)
        if isinstance(answer, Welcomed) and client.is_trusted:
            is_known = answer.attended.id in self.live
            if answer.is_new == is_known:
                raise Broken("resumed", f"WELCOME says is_new={answer.is_new}", f"broker {client.index}")
            if hello.session in self.live and answer.attended.id != hello.session:
                raise Broken("resumed", "a live session is replaced", f"broker {client.index}")
        return answer

    def served_for(self, client: Client, welcomed: Welcomed) -> Served:
        """The session that the acceptor has opened or resumed."""
        served = self.live.get(welcomed.attended.id)
        if served is None:
            others = [other for other in self.live.values() if other.client is client]
            is_only = not (client.is_trusted and others)
            expect(is_only, "sessions", f"client {client.index} has {len(others) + 1} sessions", "broker")
            served = Served(self, client, welcomed.attended)
            self.live[welcomed.attended.id] = served
            self.world.sessions[welcomed.attended.id] = served
        return served

    def judge_loss(self, old: Served, change: StateChange) -> None:
        """What a client was told of a session that it has lost has to be true: why, and what it missed."""
        if old.broker is not self:
            expect(change.code == "new_epoch" and change.missed is None, "outcome", f"{change}", old.name)
            return
        now, limits = self.world.clock.now, self._limits
        place = next(place for place, (lost, _) in enumerate(reversed(self._ended)) if lost is old)
        _, at = self._ended[-1 - place]
        may_be_forgotten = now - at > limits.remember_ended_ms - TICK or place >= limits.remember_ended
        is_right = change.code == old.ended and change.missed == old.missed
        is_unknown = change.code == "unknown" and change.missed is None
        text = f"{change.code}, missed {change.missed}; it was {old.ended}, {old.missed}"
        expect(is_right or (may_be_forgotten and is_unknown), "outcome", text, old.name)

    def end(self, served: Served, code: str) -> None:
        """A session is over for good."""
        if served.ended is not None:
            return
        served.ended = code
        self._ended.append((served, self.world.clock.now))
        self.world.tally[f"ended with {code}"] += 1
        if isinstance(served.side, Side):
            served.missed = served.side.sender.ledger.undelivered(served.engine.session.acked)
        self.acceptor.end(served.attended, code, self.world.clock.now)
        del self.live[served.attended.id]
        served.side.ended()

    def stop(self) -> None:
        """The process is gone, without a word."""
        self.is_stopped = True
        for served in list(self.live.values()):
            served.ended = "new_epoch"
            served.side.ended()
        self.live.clear()

    def audit(self) -> None:
        """What is remembered of ended sessions is bounded, and nobody is absent for too long."""
        known = remembered(self.acceptor)
        if known > self._limits.remember_ended:
            raise Broken("remembered", f"{known} ended sessions are remembered", "broker")
        if set(self.acceptor.sessions) != set(self.live):
            raise Broken(
                "sessions", f"{len(self.acceptor.sessions)} sessions, not {len(self.live)}", "broker"
            )

    def _judge(self, served: Served, code: str) -> None:
        """Whether the acceptor ends a session with good reason."""
        now, limits = self.world.clock.now, self._limits
        if code == "absent":
            is_right = served.carrier is None and now - served.absent_since >= limits.absence_ms - TICK
        else:
            is_calm = now > self.world.calm_since + 2 * TICK
            is_right = served.carrier is not None and not served.engine.session.is_at_rest and not is_calm
        if not is_right:
            raise Broken(
                "absence", f"it ends with {code}, absent since {served.absent_since} at {now}", served.name
            )

    def _tick(self) -> None:
        if self.is_stopped:
            return
        world = self.world
        world.count += 1
        for attended, code in self.acceptor.tick(world.clock.now):
            served = self.live[attended.id]
            self._judge(served, code)
            served.end(code)
        for served in self.live.values():
            if (
                served.carrier is None
                and world.clock.now - served.absent_since > self._limits.absence_ms + TICK
            ):
                raise Broken("absence", "a session lives on in its client's absence", served.name)
        self.audit()
        world.clock.after(TICK, self._tick)
