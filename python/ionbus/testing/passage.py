"""One direction of a proxied connection: bytes that wait for their time, and what happens at which of them."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from ionbus.testing.faults import Fate, Plan

HIGH_WATER_BYTES: Final = 65_536
"""While more than this waits, the socket that it comes from is not read."""

_HEAD_END: Final = b"\r\n\r\n"
_HOST: Final = re.compile(rb"(?im)^host:[^\r\n]*")


class End(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes) -> None:
        """Write, or buffer what cannot be written now."""

    def finish(self) -> None:
        """Say that nothing more comes, behind what was written."""


class Passage:
    """See the module.

    Args:
        plan: the fate of each frame; None: bytes pass as they come.
        fail: called where a fate has a fault, with the frame.
        read: told whether more bytes are wanted.
        host: what the `Host` of an HTTP request at the beginning is replaced by.
        is_http: the bytes are an HTTP head and WebSocket frames, so that a frame can be told from the next.
    """

    def __init__(
        self,
        plan: Plan | None,
        fail: Callable[[Passage, Fate, bytes], None],
        read: Callable[[bool], None],
        *,
        host: bytes | None,
        is_http: bool,
    ) -> None:
        self.passed = 0
        """Bytes that have gone on."""
        self.frames = 0
        """The frame that has gone on last, or whose turn it is; 0 where frames are not told from one another."""
        self._come = 0  # frames that have come
        self._plan = plan
        self._fail = fail
        self._read = read
        self._host = host
        self._head = b""
        self._splitter = Frames() if is_http else None
        self._loop = asyncio.get_running_loop()
        self._end: End | None = None
        self._waiting: deque[tuple[float, int, Fate, bytes]] = deque()
        self._waiting_bytes = 0
        self._last_due = 0.0
        self._marks: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0
        self._timer: asyncio.TimerHandle | None = None
        self._resumes: asyncio.TimerHandle | None = None
        self._flip = 0
        self._is_stalled = False
        self._is_moving = False
        self._is_read = True
        self._is_finished = False
        self.is_dead = False
        """Whether nothing goes on any more."""
        self.is_behind = False
        """Whether the socket that it goes to takes nothing at the moment."""

    # What comes.

    def put(self, data: bytes) -> None:
        """Bytes have come."""
        if self.is_dead or self._is_finished:
            return
        if self._host is not None:
            data = self._with_host(data)
        if self._plan is None:
            if data:
                self._queue(Fate(), data)
        else:
            for frame in [data] if self._splitter is None else self._splitter.feed(data):
                if frame:
                    self._come += 1
                    self._queue(self._plan.next(), frame)
        self._move(self._loop.time())
        self.look()

    def finish(self) -> None:
        """Nothing more will come."""
        if self.is_dead or self._is_finished:
            return
        rest = self._head + (b"" if self._splitter is None else self._splitter.rest)
        if rest:
            self._queue(Fate(), rest)
        self._is_finished = True
        self._move(self._loop.time())

    # Where it goes.

    def open(self, end: End) -> None:
        """There is a socket to write to."""
        self._end = end
        self._move(self._loop.time())
        self.look()

    def pass_on(self, data: bytes) -> None:
        """Write, and stop at each mark to do what is to be done there."""
        while not self.is_dead and self._end is not None:
            if not self._marks or self._marks[0][0] > self.passed + len(data):
                break
            at, _, act = heapq.heappop(self._marks)
            first, data = data[: at - self.passed], data[at - self.passed :]
            if first:
                self._write(first)
            act()
            if self._is_stalled and not self.is_dead:
                self.put_back(data)
                return
        if data and not self.is_dead:
            self._write(data)

    def put_back(self, data: bytes) -> None:
        """Bytes that were to go on wait again, before all others; nothing more will happen to them."""
        if data:
            self._waiting_bytes += len(data)
            self._waiting.appendleft((0.0, self.frames, Fate(), data))

    def at(self, after_bytes: int, act: Callable[[], None]) -> None:
        """Do something once so many bytes more have gone on; 0: now."""
        if not after_bytes:
            act()
            return
        self._made += 1
        heapq.heappush(self._marks, (self.passed + after_bytes, self._made, act))

    def flip_next(self, mask: int) -> None:
        """Change bits of the next byte."""
        self._flip = mask

    def stall(self, seconds: float | None = None) -> None:
        """Let nothing go on, for so many seconds or until `resume`."""
        self._is_stalled = True
        if seconds is not None and not self.is_dead:
            self._resumes = self._loop.call_later(seconds, self.resume)

    def resume(self) -> None:
        """End a stall."""
        self._is_stalled = False
        if self._resumes is not None:
            self._resumes.cancel()
        self._move(self._loop.time())
        self.look()

    def kill(self) -> None:
        """Lose what waits and all that comes."""
        self.is_dead = True
        self._waiting.clear()
        self._waiting_bytes = 0
        for timer in (self._timer, self._resumes):
            if timer is not None:
                timer.cancel()
        self.look()

    def look(self) -> None:
        """Say whether more is to be read: what is dead reads on, to see the end."""
        is_read = self.is_dead or (self._waiting_bytes <= HIGH_WATER_BYTES and not self.is_behind)
        if is_read != self._is_read:
            self._is_read = is_read
            self._read(is_read)

    # Inside.

    def _queue(self, fate: Fate, data: bytes) -> None:
        self._waiting_bytes += len(data)
        self._last_due = max(self._last_due, self._loop.time() + fate.delay)
        self._waiting.append((self._last_due, self._come, fate, data))

    def _move(self, now: float) -> None:
        """Let go on what is due."""
        if self._is_moving or self._end is None:
            return
        self._is_moving = True
        try:
            while self._waiting and not self._is_stalled:
                due, frame, fate, data = self._waiting[0]
                if due > now:
                    if self._timer is None:
                        self._timer = self._loop.call_at(due, self._wake, due)
                    return
                self._waiting.popleft()
                self.frames = frame
                self._waiting_bytes -= len(data)
                if fate.fault is None:
                    self.pass_on(data)
                else:
                    self._fail(self, fate, data)
            if self._is_finished and not (self._waiting or self._is_stalled or self.is_dead):
                self._end.finish()
        finally:
            self._is_moving = False

    def _wake(self, due: float) -> None:
        self._timer = None
        self._move(max(due, self._loop.time()))
        self.look()

    def _write(self, data: bytes) -> None:
        assert self._end is not None
        if self._flip:
            data, self._flip = bytes([data[0] ^ self._flip]) + data[1:], 0
        self.passed += len(data)
        self._end.write(data)

    def _with_host(self, data: bytes) -> bytes:
        """The head of a request with its `Host` replaced, once all of it is there; what follows as it comes."""
        self._head += data
        if _HEAD_END not in self._head and len(self._head) < HIGH_WATER_BYTES:
            return b""
        head, end, rest = self._head.partition(_HEAD_END)
        host, self._host, self._head = self._host, None, b""
        return _HOST.sub(lambda _: b"Host: " + (host or b""), head, count=1) + end + rest


class Frames:
    """Cuts what a WebSocket connection carries, in one direction, into its HTTP head and its frames (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self.rest = b""
        """The beginning of a frame whose end has not come."""
        self._is_in_head = True

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; gives what is whole by now."""
        self.rest += data
        frames: list[bytes] = []
        while (size := self._size()) is not None and size <= len(self.rest):
            frames.append(self.rest[:size])
            self.rest = self.rest[size:]
        return frames

    def _size(self) -> int | None:
        """Bytes of the frame that begins here; None while that is not known."""
        rest = self.rest
        if self._is_in_head:
            end = rest.find(_HEAD_END)
            if end < 0:
                return None
            self._is_in_head = False
            return end + len(_HEAD_END)
        if len(rest) < 2:
            return None
        length, more = rest[1] & 0x7F, {126: 2, 127: 8}.get(rest[1] & 0x7F, 0)
        if len(rest) < 2 + more:
            return None
        if more:
            length = int.from_bytes(rest[2 : 2 + more], "big")
        return 2 + more + 4 * (rest[1] >> 7) + length
