"""A client's engine and a broker's, joined by a channel that can be cut anywhere; no sockets, no clock."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

from ionbus.generated.protocol import Limits
from ionbus.session.acceptor import Acceptor, Hello, Welcomed
from ionbus.session.attended import Attended, Ended
from ionbus.session.connection import CloseChannel, Connection, OpenChannel, SessionReplaced, StateChange
from ionbus.session.session import Delivered, Session, Violation

SMALL = replace(
    Limits(),
    ack_elements=4,
    batch_elements=5,
    batch_bytes=300,
    replay_bytes=2000,
    replay_elements=20,
    credit_bytes=400,
    credit_messages=12,
    transfer_threshold_bytes=200,
    transfer_part_bytes=90,
    max_message_bytes=5000,
    max_assembly_bytes=6000,
)
"""Limits that a short run reaches."""


class World:
    """One client and one broker. `to_broker` and `to_client` are the frames under way."""

    def __init__(self, seed: int = 0, limits: Limits = SMALL) -> None:
        self.random = random.Random(seed)
        self.limits = limits
        self.now = 0.0
        self.client = Connection(limits, self.random.randbytes, self.random.random, "client")
        self.acceptor = Acceptor(limits, self.random.randbytes, "broker", [])
        self.attended: Attended | None = None
        self.is_open = False
        self.is_greeted = False
        self.to_broker: deque[bytes] = deque()
        self.to_client: deque[bytes] = deque()
        self.at_client: list[list[object]] = []
        self.at_broker: list[list[object]] = []
        self.changes: list[StateChange] = []
        self.replaced: list[SessionReplaced] = []
        self.closes: list[str] = []

    @property
    def broker_session(self) -> Session:
        assert self.attended is not None
        return self.attended.session

    def restart_broker(self) -> None:
        """A new process, a new epoch."""
        self.cut()
        self.acceptor = Acceptor(self.limits, self.random.randbytes, "broker", [])
        self.attended = None

    def cut(self) -> None:
        """The channel ends; whatever is under way is lost."""
        if self.is_open:
            self._drop()
            self.client.lost("connection_lost", "cut", self.now)
            self.obey()

    def _drop(self) -> None:
        self.is_open = self.is_greeted = False
        self.to_broker.clear()
        self.to_client.clear()
        if self.attended is not None:
            self.attended.leave()

    def obey(self) -> None:
        """Do what the client's engine asks for."""
        for effect in self.client.effects():
            match effect:
                case OpenChannel():
                    self.is_open = True
                    self.client.opened("token", True, self.now)
                    self.obey()
                case CloseChannel():
                    self.closes.append(effect.code)
                    self._drop()
                case StateChange():
                    self.changes.append(effect)
                case SessionReplaced():
                    self.replaced.append(effect)
                case Delivered():
                    self.at_client.append(effect.message)
                    self._consume(self.client.session, effect.message)

    def pump_client(self) -> None:
        """The client's frames go on their way."""
        while self.is_open and (frame := self.client.next_frame(self.now)) is not None:
            self.to_broker.append(frame)

    def pump_broker(self) -> None:
        while self.is_greeted and (frame := self.broker_session.next_frame(self.now)) is not None:
            self.to_client.append(frame)

    def step_to_broker(self) -> None:
        """One frame arrives at the broker."""
        if not self.to_broker:
            return
        frame = self.to_broker.popleft()
        if not self.is_greeted:
            hello = self.acceptor.read_hello(frame)
            assert isinstance(hello, Hello), hello
            welcomed = self.acceptor.welcome(hello, "me", object(), self.now)
            assert isinstance(welcomed, Welcomed), welcomed
            self.attended = welcomed.attended
            self.is_greeted = True
            self.to_client.append(welcomed.frame)
            return
        assert self.attended is not None
        for arrival in self.attended.receive(frame, self.now):
            assert not isinstance(arrival, Violation), arrival
            if isinstance(arrival, Delivered):
                self.at_broker.append(arrival.message)
                self._consume(self.attended.session, arrival.message)
            elif isinstance(arrival, Ended):
                self.acceptor.end(self.attended, arrival.code, self.now)
                self._drop()

    def step_to_client(self) -> None:
        """One frame arrives at the client."""
        if self.to_client:
            self.client.receive(self.to_client.popleft(), self.now)
            self.obey()

    def _consume(self, session: Session, message: list[object]) -> None:
        if message[0] == 1:
            payload = message[2]
            assert isinstance(payload, bytes)
            session.consumed(len(payload))

    def advance(self, milliseconds: float) -> None:
        """Time passes; both engines are ticked."""
        self.now += milliseconds
        self.client.tick(self.now)
        self.obey()
        if self.is_greeted:
            self.broker_session.tick(self.now)

    def settle(self) -> None:
        """Let everything arrive: bounded, so that an engine that never comes to rest fails the test."""
        self.obey()
        for _ in range(3000):
            self.pump_client()
            self.pump_broker()
            if not self.to_broker and not self.to_client:
                if self.is_greeted and self.client.state == "open" and self._is_quiet():
                    return
                self.advance(60)
            while self.to_broker:
                self.step_to_broker()
            while self.to_client:
                self.step_to_client()
        raise AssertionError(f"does not settle: {self.client.state}")

    def _is_quiet(self) -> bool:
        sessions = (self.client.session, self.broker_session)
        return all(session.sent == session.acked and not session.unnumbered() for session in sessions)
