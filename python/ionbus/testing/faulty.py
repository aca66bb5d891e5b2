"""Channels on which things go wrong, as `Faults` says. They work at either end of any channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ionbus.channels.base import Accept, Channel, Opened, Opener, PeerIdentity, Receiver
from ionbus.generated.protocol import Limits
from ionbus.testing.faults import DIRECTIONS, Direction, Fate, Faults, Plan

HIGH_WATER_BYTES: Final = 65_536
"""A channel on which more waits than this is not writable."""


def faulty(opener: Opener, faults: Faults) -> Opener:
    """A client's opener whose channels have faults.

    Args:
        opener: what opens the channels: of memory, WebSocket or stdio.
        faults: what goes wrong on them.
    """

    async def open_faulty(receiver: Receiver) -> Opened:
        channel = FaultyChannel(None, faults, sends="to_broker")
        channel.listen(receiver)
        try:
            opened = await opener(channel)
        except BaseException:
            faults.left(channel)
            raise
        channel.carry(opened.channel)
        return Opened(channel, opened.token)

    return open_faulty


def faulty_accept(accept: Accept, faults: Faults) -> Accept:
    """A broker's side whose channels have faults.

    Args:
        accept: what takes the channels, as `broker.accept_local()`.
        faults: what goes wrong on them.
    """

    def accept_faulty(channel: Channel, identity: PeerIdentity) -> Receiver:
        between = FaultyChannel(channel, faults, sends="to_client")
        between.listen(accept(between, identity))
        return between

    return accept_faulty


@dataclass(frozen=True, slots=True)
class _End:
    """What is said at the end of a channel."""

    over: bool
    code: str
    message: str


class FaultyChannel:
    """Stands between a channel and whoever uses it: a channel to the one side, a receiver to the other.

    Args:
        channel: what carries the frames; None: it comes later, with `carry`.
        faults: what goes wrong.
        sends: where the frames go that are sent through it.
    """

    def __init__(self, channel: Channel | None, faults: Faults, *, sends: Direction = "to_broker") -> None:
        self._faults = faults
        self._inner: Channel | None = None
        self._receiver: Receiver | None = None
        self._max_frame_bytes = Limits().max_greeting_bytes
        self._is_closed = False  # by whoever uses it, or because whoever uses it was told
        self._is_cut = False
        self._is_half_open = False
        self.number = faults.joined(self)
        (receives,) = (direction for direction in DIRECTIONS if direction != sends)
        self._out = _Lane(faults.plan(self.number, sends), self, self._send, self._close)
        self._in = _Lane(faults.plan(self.number, receives), self, self._deliver, self._end)
        self._lanes: dict[Direction, _Lane] = {sends: self._out, receives: self._in}
        self._widest = Limits().max_frame_bytes if sends == "to_broker" else 0
        if channel is not None:
            self.carry(channel)

    def __repr__(self) -> str:
        return f"<FaultyChannel {self.number} over {self._inner!r}>"

    @property
    def is_over(self) -> bool:
        """Whether what carries it is closed, too."""
        return self not in self._faults.channels

    def carry(self, channel: Channel) -> None:
        """Say what carries the frames."""
        self._inner = channel
        if self._is_cut:
            channel.close(False, "connection_lost", "cut")
        else:
            self.max_frame_bytes = channel.max_frame_bytes

    def listen(self, receiver: Receiver) -> None:
        """Say who gets what arrives; before the first frame."""
        self._receiver = receiver

    # The channel, for whoever uses it.

    @property
    def kind(self) -> str:
        """Of what carries it."""
        return self._carrier.kind

    @property
    def silence_is_fatal(self) -> bool:
        """Of what carries it."""
        return self._carrier.silence_is_fatal

    @property
    def is_writable(self) -> bool:
        """Whether neither the carrier is behind nor much waits here."""
        return not self._is_cut and self._out.waiting_bytes <= HIGH_WATER_BYTES and self._carrier.is_writable

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame to take, in bytes."""
        return self._max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, max_bytes: int) -> None:
        # A frame that is late here is looked at when it arrives; until then it must not be too large for the carrier.
        self._max_frame_bytes = max_bytes
        if self._inner is not None:
            self._inner.max_frame_bytes = max(max_bytes, self._widest)

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        if not self._is_closed:
            self._out.put(frame)

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Close after what was sent has left, if it ever does."""
        if not self._is_closed:
            self._is_closed = True
            self._in.kill()
            self._out.put(_End(over, code, message))

    # The receiver, for what carries it.

    def frame_received(self, frame: bytes) -> None:
        """A frame has come out of the carrier."""
        self._in.put(frame)

    def writable(self) -> None:
        """The carrier has caught up, or what waited here has left."""
        if self._receiver is not None and not self._is_closed and self.is_writable:
            self._receiver.writable()

    def closed(self, over: bool, code: str, message: str) -> None:
        """The carrier is gone."""
        if not self._is_half_open:
            self._out.kill()
        self._in.put(_End(over, code, message))
        self._faults.left(self)

    # Commands.

    def cut(self, message: str = "cut by a fault") -> None:
        """Lose the channel: what is under way is lost, and both ends are told, the near one in the next turn of the loop."""
        if self._is_cut:
            return
        self._is_cut = True
        self._kill()
        self._faults.left(self)
        if self._inner is not None:
            self._inner.close(False, "connection_lost", message)
        asyncio.get_running_loop().call_soon(self._end, _End(False, "connection_lost", message))

    def stall(self, direction: Direction | None = None) -> None:
        """Let nothing arrive, in one direction or both, until `resume`."""
        for each in DIRECTIONS if direction is None else (direction,):
            self._lanes[each].stall()

    def resume(self, direction: Direction | None = None) -> None:
        """End a stall: what waited arrives."""
        for each in DIRECTIONS if direction is None else (direction,):
            self._lanes[each].resume()

    def half_open(self) -> None:
        """Lose what is under way and all that comes later, in both directions, and tell neither end."""
        self._is_half_open = True
        self._kill()

    def abandon(self) -> None:
        """Close what carries it, whatever it was told."""
        if self.is_over:
            return
        self._kill()
        self._faults.left(self)
        if self._inner is not None:
            self._inner.close(False, "connection_lost", "abandoned")

    def fail(self, fate: Fate, frame: bytes, lane: _Lane) -> None:
        """Let a fault happen to a frame that was to arrive now."""
        match fate.fault:
            case "drop":
                self.cut()
            case "cut":
                lane.pass_on(fate.prefix(frame))
                self.cut()
            case "duplicate":
                lane.pass_on(frame)
                lane.pass_on(frame)
            case "truncate":
                lane.pass_on(fate.prefix(frame))
            case "flip":
                lane.pass_on(fate.flipped(frame))
            case "stall":
                lane.put_back(frame)
                lane.stall(self._faults.settings.get("stall_seconds", 1.0))
            case "half_open":
                self.half_open()
            case None:
                lane.pass_on(frame)

    # Inside.

    @property
    def _carrier(self) -> Channel:
        assert self._inner is not None, "carry() comes before anything is sent"
        return self._inner

    def _kill(self) -> None:
        self._out.kill()
        self._in.kill()

    def _send(self, frame: bytes) -> None:
        self._carrier.send(frame)

    def _close(self, end: _End) -> None:
        self._faults.left(self)
        self._carrier.close(end.over, end.code, end.message)

    def _deliver(self, frame: bytes) -> None:
        if self._receiver is None or self._is_closed:
            return
        if len(frame) > self._max_frame_bytes:
            text = f"a frame of {len(frame)} bytes; at most {self._max_frame_bytes} are taken"
            self._out.put(_End(False, "too_large", text))
            self._end(_End(False, "too_large", text))
        else:
            self._receiver.frame_received(frame)

    def _end(self, end: _End) -> None:
        """Whoever uses it is told, once."""
        self._in.kill()
        if not self._is_closed:
            self._is_closed = True
            if self._receiver is not None:
                self._receiver.closed(end.over, end.code, end.message)


class _Lane:
    """One direction: what waits for its time, and what is to happen to it then."""

    def __init__(
        self,
        plan: Plan,
        channel: FaultyChannel,
        pass_on: Callable[[bytes], None],
        end: Callable[[_End], None],
    ) -> None:
        self.pass_on = self._while_alive(pass_on)
        self.waiting_bytes = 0
        self._plan = plan
        self._channel = channel
        self._say_end = end
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, int, Fate, bytes | _End]] = deque()
        self._frames = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._resumes: asyncio.TimerHandle | None = None
        self._is_stalled = False
        self._is_dead = False
        self._is_moving = False

    def put(self, what: bytes | _End) -> None:
        """Take a frame or the end."""
        if self._is_dead:
            return
        fate = Fate()
        if not isinstance(what, _End):
            self._frames += 1
            self.waiting_bytes += len(what)
            fate = self._plan.next()
        self._last_due = max(self._last_due, self._loop.time() + fate.delay)
        self._waiting.append((self._last_due, self._frames, fate, what))
        self._move(self._loop.time())

    def put_back(self, frame: bytes) -> None:
        """A frame that was to arrive waits again, before all others; nothing more will happen to it."""
        self.waiting_bytes += len(frame)
        self._waiting.appendleft((0.0, 0, Fate(), frame))

    def stall(self, seconds: float | None = None) -> None:
        """Let nothing arrive, for so many seconds or until `resume`."""
        self._is_stalled = True
        if seconds is not None and not self._is_dead:
            self._resumes = self._loop.call_later(seconds, self.resume)

    def resume(self) -> None:
        """End a stall."""
        self._is_stalled = False
        if self._resumes is not None:
            self._resumes.cancel()
        self._move(self._loop.time())

    def kill(self) -> None:
        """Lose what waits, and take no more."""
        self._is_dead = True
        self._waiting.clear()
        self.waiting_bytes = 0
        for timer in (self._timer, self._resumes):
            if timer is not None:
                timer.cancel()

    def _move(self, now: float) -> None:
        """Let arrive what is due."""
        if self._is_moving:
            return
        self._is_moving = True
        was_behind = self.waiting_bytes > HIGH_WATER_BYTES
        try:
            while self._waiting and not self._is_stalled:
                due, frame, fate, what = self._waiting[0]
                if due > now:
                    if self._timer is None:
                        self._timer = self._loop.call_at(due, self._wake, due)
                    break
                self._waiting.popleft()
                self._arrive(frame, fate, what)
        finally:
            self._is_moving = False
        if was_behind and not self._is_dead and self.waiting_bytes <= HIGH_WATER_BYTES:
            self._channel.writable()

    def _wake(self, due: float) -> None:
        self._timer = None
        self._move(max(due, self._loop.time()))  # a timer may come too early by the clock's resolution

    def _arrive(self, number: int, fate: Fate, what: bytes | _End) -> None:
        if isinstance(what, _End):
            self.kill()
            self._say_end(what)
            return
        self.waiting_bytes -= len(what)
        if fate.fault is None:
            self.pass_on(what)
        else:
            self._plan.happened(fate.fault, number)
            self._channel.fail(fate, what, self)

    def _while_alive(self, pass_on: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def pass_on_if_alive(frame: bytes) -> None:
            if not self._is_dead:
                pass_on(frame)

        return pass_on_if_alive
