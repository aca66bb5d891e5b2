"""A session at the simulated broker, and the channel that carries it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ionbus.session.acceptor import Hello, Refusal, Welcomed, refusal
from ionbus.session.attended import Attended, Ended
from ionbus.session.session import Delivered, Rejected, Violation
from ionbus.testing.simulator.audit import audit
from ionbus.testing.simulator.broken import Broken, expect
from ionbus.testing.simulator.engines import SessionEngine
from ionbus.testing.simulator.hostile import CODES
from ionbus.testing.simulator.side import Side
from ionbus.testing.simulator.stranger import Stranger
from ionbus.wire.frames import encode_close

if TYPE_CHECKING:
    from ionbus.testing.simulator.broker import Broker
    from ionbus.testing.simulator.channel import Channel
    from ionbus.testing.simulator.client import Client

_RETRY_AFTER: Final = 50


class Served:
    """One session, as long as the simulation lasts.

    Attributes:
        client: whose it is.
        carrier: the channel that carries it now.
        peer: the client's application, once the client knows that it is in this session.
        ended: the code with which it ended.
        missed: the events that its client had not acknowledged then, by name.
        absent_since: when it lost its channel.
    """

    def __init__(self, broker: Broker, client: Client, attended: Attended) -> None:
        self.client = client
        self.carrier: Carrier | None = None
        self.peer: Side | None = None
        self.ended: str | None = None
        self.missed: Counter[str] = Counter()
        self.absent_since = 0.0
        self.attended = attended
        self.name = f"broker {client.index}"
        world = broker.world
        self.engine = SessionEngine(
            attended, world.clock, world.follow_session(client.index, attended.session)
        )
        self.broker = broker
        self._limits = world.plan.limits("broker")
        self.side = world.make_side(self.name, self.engine.outlet, self._limits, is_trusted=client.is_trusted)

    @property
    def is_trusted(self) -> bool:
        """Whether its client's frames are not tampered with."""
        return self.client.is_trusted

    @property
    def is_closed(self) -> bool:
        """Whether its client will not come back."""
        return self.ended is not None or self.client.is_closed

    def attach(self, carrier: Carrier, received: int, credit: tuple[int, int]) -> None:
        """A greeted channel carries it from now on."""
        self.carrier = carrier
        self.engine.attached(received, credit)
        if isinstance(self.side, Side):
            self.side.sender.wire.attached(received)

    def receive(self, frame: bytes) -> None:
        """A frame has arrived."""
        for arrival in self.engine.receive(frame):
            match arrival:
                case Violation():
                    self._violated(arrival)
                case Ended():
                    self._said_close(arrival)
                case Delivered():
                    self._arrived(arrival)
                case Rejected():
                    if isinstance(self.side, Side):
                        self.side.rejected(arrival, self.client.limits.max_message_bytes)
        if self.ended is None and self.is_trusted and self.peer is not None:
            self.peer.sender.ledger.taken(self.engine.session.received)
        self.flush()
        rest = self.attended.must_rest(self.broker.world.clock.now)
        if rest:
            self.drop("rate_limited", retry_after=rest, says=True)

    def flush(self) -> None:
        """Send what there is, as long as the channel takes it."""
        carrier = self.carrier
        while carrier is not None and carrier.channel.to_client.is_writable:
            frame = self.engine.next_frame()
            if frame is None:
                break
            if isinstance(self.side, Side):
                limits = self.client.limits
                first = (limits.credit_bytes, limits.credit_messages)
                granted = first if self.peer is None else self.client.engine.session.granted
                self.side.sender.wire.leaves(frame, self.engine.session, granted)
            carrier.channel.to_client.send(frame)

    def tick(self) -> None:
        """Its deadline has come."""
        if self.engine.tick() and self.broker.world.plan.quality.silence_is_fatal:
            self.drop("connection_lost")

    def leave(self) -> None:
        """The channel is gone."""
        self.carrier = None
        self.absent_since = self.broker.world.clock.now
        self.engine.leave()

    def drop(self, code: str, *, over: bool = False, retry_after: int = 0, says: bool = False) -> None:
        """Close the channel, having said why."""
        carrier = self.carrier
        if carrier is not None:
            if says:
                self.broker.world.tally[f"closed with {code}"] += 1
                expect(code in CODES, "code", f"the channel is closed with {code}", self.name)
                self.flush()
                options = {"over": over, "retry_after": retry_after}
                told = {name: value for name, value in options.items() if value}
                carrier.channel.to_client.send(encode_close(code, "", told))
            carrier.close(over=over, code=code)
            self.leave()

    def expel(self) -> None:
        """The broker closes the channel and keeps the session."""
        self.drop("stopping", retry_after=_RETRY_AFTER, says=True)

    def end(self, code: str) -> None:
        """It is over."""
        self.drop(code, over=True, says=code != "absent")
        self.broker.end(self, code)

    def bound(self) -> None:
        """More events wait than may: the broker ends the session."""
        session, limits = self.engine.session, self._limits
        if session.queued_bytes > limits.max_queued_bytes or session.queued_events > limits.replay_elements:
            self.end("absent" if self.carrier is None else "slow_consumer")

    def audit(self) -> None:
        """Hold the engine's accounts against what is there."""
        if self.ended is None:
            sender = self.side.sender if isinstance(self.side, Side) else None
            audit(self.engine.session, self._limits, sender, self.name)

    def _arrived(self, arrival: Delivered) -> None:
        if isinstance(self.side, Stranger):
            self.side.endure(arrival.message)
        elif self.peer is None:
            raise Broken("greeting", f"{arrival} arrives before its client was welcomed", self.name)
        else:
            self.side.arrived(self.peer.sender.ledger.arrives(arrival.seq, arrival.message))

    def _said_close(self, ended: Ended) -> None:
        if ended.over:
            expect(ended.code in CODES, "code", f"a session ends with {ended.code!r:.80}", self.name)
        if self.carrier is not None:
            self.carrier.close(over=ended.over, code=ended.code)
        self.leave()
        if ended.over:
            self.broker.end(self, ended.code)

    def _violated(self, violation: Violation) -> None:
        if self.is_trusted:
            raise Broken("violation", violation.message, self.name)
        self.drop(violation.code, over=violation.over, says=True)
        if violation.over:
            self.broker.end(self, violation.code)


class Carrier:
    """One channel at the broker: greets, then passes everything to its session."""

    def __init__(self, broker: Broker, channel: Channel, client: Client) -> None:
        self.channel = channel
        self.client = client
        self._broker = broker
        self._served: Served | None = None
        self._is_over = False
        broker.world.clock.after(broker.world.plan.limits("broker").handshake_ms, self._timed_out)

    def frame_received(self, frame: bytes) -> None:
        """Greet first."""
        if self._is_over:
            return
        served = self._served
        if served is not None:
            self._broker.world.touch(served)
            served.receive(frame)
            return
        hello = self._broker.acceptor.read_hello(frame)
        answer = hello if isinstance(hello, Refusal) else self._broker.welcome(hello, self)
        if isinstance(answer, Refusal):
            self.refuse(answer)
        elif isinstance(hello, Hello):
            self._welcome(hello, answer)

    def writable(self) -> None:
        """The channel has caught up."""
        if self._served is not None and not self._is_over:
            self._served.flush()

    def closed(self, over: bool, code: str) -> None:
        """The channel is gone."""
        served = self._served
        if self._is_over:
            return
        self.close(over=over, code=code)
        if served is not None:
            served.leave()
            if over:
                self._broker.end(served, code)

    def refuse(self, refused: Refusal) -> None:
        """Say CLOSE and close."""
        self._broker.world.tally[f"refused with {refused.code}"] += 1
        self.client.judge_refusal(refused, self.channel)
        self.channel.to_client.send(refused.frame)
        self.close(over=False, code=refused.code)

    def close(self, *, over: bool, code: str) -> None:
        """Nothing that comes from the channel counts any more."""
        self._is_over = True
        self._served = None
        self.channel.to_client.close(over, code)
        self.channel.leave(self)

    def _welcome(self, hello: Hello, welcomed: Welcomed) -> None:
        if isinstance(welcomed.evicted, Carrier):
            welcomed.evicted.refuse(refusal("evicted", "a newer channel carries this session", final=True))
        self.channel.to_client.send(welcomed.frame)
        served = self._broker.served_for(self.client, welcomed)
        self._served = served
        self._broker.world.touch(served)
        resumes = served.attended.id == hello.session
        served.attach(self, hello.received if resumes else 0, hello.credit if resumes else (0, 0))
        served.flush()

    def _timed_out(self) -> None:
        if self._served is None and not self._is_over:
            self.refuse(refusal("handshake_timeout", "no HELLO in time"))
