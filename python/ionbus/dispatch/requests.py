"""The calls and streams that this side makes in a session, until each has ended (docs/protocol.md, section 5.1)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from ionbus.dispatch.waiting import Waiters, wake
from ionbus.errors import CallTimeout, IonbusError, error_from_wire
from ionbus.generated.protocol import Message
from ionbus.session.outbox import Entry
from ionbus.wire import values
from ionbus.wire.frames import MalformedFrame
from ionbus.wire.messages import encode_call, encode_message
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.dispatch.peer import Peer

STOPPING = "stopping"
"""The code of an ERROR for a request that was not taken, since the broker stops."""

ItemT = TypeVar("ItemT")
Errors = Sequence[type[IonbusError]]


class PendingCall:
    """A call that waits for its answer."""

    __slots__ = ("entry", "future", "id", "is_idempotent", "is_put_off", "name", "raises", "timer")

    def __init__(
        self, request_id: int, name: str, future: asyncio.Future[bytes], raises: Errors, is_idempotent: bool
    ) -> None:
        self.id = request_id
        self.name = name
        self.future = future
        self.raises = raises
        self.is_idempotent = is_idempotent
        self.is_put_off = False
        self.entry: Entry | None = None
        self.timer: asyncio.TimerHandle | None = None

    def fail(self, error: BaseException) -> None:
        """End it with an error."""
        if not self.future.done():
            self.future.set_exception(error)


class PendingStream:
    """A stream that is being read: items that arrived and were not taken, and the credit given for them."""

    is_idempotent = False

    def __init__(
        self, request_id: int, name: str, raises: Errors, window: tuple[int, int], requests: Requests
    ) -> None:
        self.id = request_id
        self.name = name
        self.raises = raises
        self.is_put_off = False
        self.entry: Entry | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.items: deque[bytes] = deque()
        self.is_over = False
        self.error: BaseException | None = None
        self.waiters: Waiters = set()
        self._window = window
        self._granted = window
        self._received = (0, 0)
        self._taken = (0, 0)
        self._requests = requests

    def receive(self, payload: bytes) -> None:
        """An item has arrived.

        Raises:
            MalformedFrame: without credit.
        """
        size, count = self._received
        if size >= self._granted[0] or count >= self._granted[1]:
            raise MalformedFrame(f"ITEM of request {self.id} without credit")
        self._received = (size + len(payload), count + 1)
        self.items.append(payload)
        self._requests.held_bytes += len(payload)
        self.wake()

    def take(self) -> tuple[bytes, tuple[int, int] | None]:
        """The oldest item, and the totals to grant where it is time to."""
        payload = self.items.popleft()
        self._requests.held_bytes -= len(payload)
        size, count = self._taken = (self._taken[0] + len(payload), self._taken[1] + 1)
        grant = (size + self._window[0], count + self._window[1])
        if (grant[0] - self._granted[0]) * 2 < self._window[0] and (
            grant[1] - self._granted[1]
        ) * 2 < self._window[1]:
            return payload, None
        self._granted = grant
        return payload, grant

    def fail(self, error: BaseException) -> None:
        """End it with an error, after the items that are there."""
        self.error = error
        self.end()

    def end(self) -> None:
        """No more items come."""
        self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        self.wake()

    def leave(self) -> None:
        """Nobody reads on: let go of what was not taken."""
        while self.items:
            self._requests.held_bytes -= len(self.items.popleft())
        self.end()

    def wake(self) -> None:
        """Whoever waits for an item looks again."""
        wake(self.waiters)


Pending = PendingCall | PendingStream


class Requests:
    """The requests of one side.

    Args:
        peer: sends and receives for them.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._last = 0
        self._pending: dict[int, Pending] = {}
        self._abandoned: set[int] = set()  # cancelled, and not answered yet
        self._queue: deque[asyncio.Future[None]] = deque()
        self.held_bytes = 0
        """Payload bytes of the streams' items that were not taken."""

    @property
    def pending(self) -> int:
        """How many wait for their answer."""
        return len(self._pending)

    async def call(
        self,
        name: str,
        payload: Encoded,
        timeout: float | None,
        raises: Errors,
        is_idempotent: bool,
        more: Mapping[str, object] | None = None,
    ) -> bytes:
        """Send a call and wait for its result's payload. `more`: options besides its deadline, and a key that it has already.

        Raises:
            IonbusError: what the other side answered, `CallTimeout`, `TooLarge`, `SessionLost`, `ConnectionLost`.
        """
        peer = self._peer
        timeout = await self._wait_for_room(name, timeout)
        peer.raise_if_ended()
        loop = peer.loop
        options: dict[str, object] = {}
        if timeout is not None:
            options["deadline"] = max(1, int(timeout * 1000))
        if more:
            options.update(more)
        if is_idempotent and "key" not in options:
            options["key"] = uuid4().hex
        self._last = number = self._last + 1
        request = PendingCall(number, name, loop.create_future(), raises, is_idempotent)
        self._send(request, encode_call(number, name, payload, options))
        timer = None
        if timeout is not None:
            timer = loop.call_later(timeout, self._time_out, request, timeout)
        try:
            return await request.future
        except asyncio.CancelledError:
            self.give_up(request)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def stream(
        self,
        name: str,
        payload: Encoded,
        timeout: float | None,
        raises: Errors,
        more: Mapping[str, object] | None = None,
    ) -> PendingStream:
        """Ask for a stream. `more`: options besides its deadline and credit."""
        peer = self._peer
        timeout = await self._wait_for_room(name, timeout)
        peer.raise_if_ended()
        limits = peer.limits
        window = (limits.stream_credit_bytes, limits.stream_credit_messages)
        options: dict[str, object] = {"credit": list(window), **(more or {})}
        if timeout is not None:
            options["deadline"] = max(1, int(timeout * 1000))
        self._last = number = self._last + 1
        request = PendingStream(number, name, raises, window, self)
        self._send(request, encode_message(Message.STREAM, number, name, payload, options))
        if timeout is not None:
            request.timer = peer.loop.call_later(timeout, self._time_out, request, timeout)
        return request

    def give_up(self, request: Pending) -> None:
        """Nobody waits for the answer any more: take the request back, or send CANCEL."""
        if self._pending.pop(request.id, None) is None:
            return
        if request.timer is not None:
            request.timer.cancel()
        peer = self._peer
        if request.is_put_off:
            self._make_room()  # the other side has let go of it
        elif request.entry is not None and not peer.is_ended and not peer.engine.withdraw(request.entry):
            self._abandoned.add(request.id)
            peer.send(encode_message(Message.CANCEL, request.id), request.id)
        else:
            self._make_room()
        peer.flush_soon()

    def result(self, message: list[Any]) -> None:
        """RESULT has arrived."""
        request = self._end(message[1], "RESULT", PendingCall)
        if isinstance(request, PendingCall) and not request.future.done():
            request.future.set_result(message[2])

    def error(self, message: list[Any]) -> None:
        """ERROR has arrived. A request that a stopping broker did not take goes to the next one (section 8.7)."""
        if message[2] == STOPPING and self._peer.is_client:
            put_off = self._find(message[1], "ERROR", (PendingCall, PendingStream))
            if put_off is not None:
                put_off.is_put_off = True
                return
        request = self._end(message[1], "ERROR", (PendingCall, PendingStream))
        if request is not None:
            details = decode_details(message[4] if len(message) > 4 else None)
            request.fail(error_from_wire(message[2], message[3], details, request.raises))

    def item(self, message: list[Any]) -> None:
        """ITEM has arrived."""
        request = self._find(message[1], "ITEM", PendingStream)
        if isinstance(request, PendingStream):
            request.receive(message[2])

    def end(self, message: list[Any]) -> None:
        """END has arrived."""
        request = self._end(message[1], "END", PendingStream)
        if isinstance(request, PendingStream):
            request.end()

    def rejected(self, request: Pending, error: IonbusError) -> None:
        """The other side does not take the request's message."""
        if self._pending.pop(request.id, None) is not None:
            request.fail(error)
            self._make_room()

    def carry_over(self, kept: set[Pending], error: IonbusError) -> tuple[list[Pending], int]:
        """The session was replaced: fail what the old one may have carried out.

        Args:
            kept: requests that never left.
            error: what the others fail with, unless they may be sent again.

        Returns:
            Requests that left and may be sent again, and how many failed.
        """
        self._abandoned.clear()
        again: list[Pending] = []
        lost = 0
        for request in list(self._pending.values()):
            if request in kept:
                continue
            if request.is_idempotent or request.is_put_off:
                request.is_put_off = False
                again.append(request)
            else:
                del self._pending[request.id]
                request.fail(error)
                lost += 1
        self._make_room()
        return again, lost

    def fail_all(self, error: IonbusError) -> None:
        """The session has ended."""
        pending, self._pending = self._pending, {}
        self._abandoned.clear()
        for request in pending.values():
            request.fail(type(error)(error.message) if len(pending) > 1 else error)
        self._make_room()

    def _send(self, request: Pending, message: Encoded) -> None:
        try:
            request.entry = self._peer.send(message, request.id, request)
        except IonbusError:
            self._make_room()  # it may have been this one's turn: the next one's now
            raise
        self._pending[request.id] = request

    def _time_out(self, request: Pending, timeout: float) -> None:
        if request.id in self._pending:
            self.give_up(request)
            disconnected = self._peer.disconnected
            why = "" if disconnected is None else f"; there is no connection: {disconnected}"
            request.fail(CallTimeout(f"{request.name}: not answered within {timeout:g} s{why}"))

    def _find(
        self, number: int, what: str, kind: type[Pending] | tuple[type[Pending], ...]
    ) -> Pending | None:
        """The request that an answer is for; None where it has ended."""
        request = self._pending.get(number)
        if request is None:
            if not 0 < number <= self._last:
                raise MalformedFrame(f"{what} for request {number}, which never was")
            return None
        if not isinstance(request, kind):
            raise MalformedFrame(f"{what} for request {number}, which is none that it answers")
        return request

    def _end(self, number: int, what: str, kind: type[Pending] | tuple[type[Pending], ...]) -> Pending | None:
        request = self._find(number, what, kind)
        if request is not None:
            del self._pending[number]
        else:
            self._abandoned.discard(number)
        if self._queue:
            self._make_room()
        return request

    async def _wait_for_room(self, name: str, timeout: float | None) -> float | None:
        """Wait while as many requests are under way as the other side takes; gives what is left of `timeout`.

        Raises:
            CallTimeout: nothing is.
        """
        timeout = _seconds(name, timeout)
        if self._has_room():
            return timeout
        loop = self._peer.loop
        began = loop.time()
        try:
            async with asyncio.timeout(timeout):
                while not self._has_room():
                    self._peer.raise_if_ended()
                    await self._turn()
        except TimeoutError:
            raise CallTimeout(
                f"{name}: not sent within {timeout:g} s; {self._peer.limits.max_requests} requests are under way already"
            ) from None
        return None if timeout is None else timeout - (loop.time() - began)

    def _has_room(self) -> bool:
        return len(self._pending) + len(self._abandoned) < self._peer.limits.max_requests

    async def _turn(self) -> None:
        waiter = self._peer.loop.create_future()
        self._queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was its turn: the next one's now
                self._make_room()
            raise

    def _make_room(self) -> None:
        room = self._peer.limits.max_requests - len(self._pending) - len(self._abandoned)
        while self._queue and (room > 0 or self._peer.is_ended):
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1


def _seconds(name: str, timeout: object) -> float | None:
    """A time-out as the wire can say it.

    Raises:
        TypeError: it is not a time.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or isnan(timeout):
        raise TypeError(f"{name}: timeout={timeout!r} is not a time; give seconds, or None for no limit")
    return None if timeout >= _FOREVER else timeout


_FOREVER = 1e9
"""Seconds from which on a time-out is none: 31 years."""


def decode_details(details: bytes | None) -> dict[str, object]:
    """An error's details; empty where there are none, or none that make sense."""
    if details is None:
        return {}
    try:
        decoded = values.decode(details)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
