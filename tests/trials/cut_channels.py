"""Channels that are lost at random bytes: as where a relay, which lends its pipe to others, loses one of them."""

from __future__ import annotations

import asyncio
import random

from ionbus.channels.base import Channel, Opened, Opener, Receiver


class CutChannels:
    """Loses each channel after so many bytes in one direction: the frame in which that byte is does not arrive.

    `connect(…, through=CutChannels(…).through)` puts it between a bus and its channels.

    Frames that follow within the next milliseconds are lost too, in both directions, as those are that are under way.

    Args:
        seed: of where they are cut.
        bytes_to_a_cut: how many pass on average; 0: none is cut. A quarter is cut within what opens a session.
    """

    def __init__(self, seed: int, bytes_to_a_cut: float) -> None:
        self.cuts = 0
        self._dice = random.Random(seed)
        self._bytes_to_a_cut = bytes_to_a_cut

    def through(self, opener: Opener) -> Opener:
        """An opener whose channels are cut."""

        async def open_and_cut(receiver: Receiver) -> Opened:
            if not self._bytes_to_a_cut:
                return await opener(receiver)
            dice = self._dice
            most = 1_000 if dice.random() < 0.25 else 8 / 3 * self._bytes_to_a_cut
            channel = _CutChannel(self, receiver, 1 + int(dice.random() * most), sends=dice.random() < 0.5)
            opened = await opener(channel)
            channel.carrier = opened.channel
            return Opened(channel, opened.token)

        return open_and_cut

    def soon(self) -> float:
        """Seconds between the byte and the cut."""
        return self._dice.random() * 0.002


class _CutChannel:
    """A channel to the one side, a receiver to the other."""

    carrier: Channel

    def __init__(self, channels: CutChannels, receiver: Receiver, after_bytes: int, *, sends: bool) -> None:
        self._channels = channels
        self._receiver = receiver
        self._left = after_bytes
        self._counts_sent = sends
        self._is_over = False

    @property
    def kind(self) -> str:
        return self.carrier.kind

    @property
    def silence_is_fatal(self) -> bool:
        return self.carrier.silence_is_fatal

    @property
    def is_writable(self) -> bool:
        return self.carrier.is_writable

    @property
    def max_frame_bytes(self) -> int:
        return self.carrier.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, max_bytes: int) -> None:
        self.carrier.max_frame_bytes = max_bytes

    def send(self, frame: bytes) -> None:
        if self._passes(frame, is_sent=True):
            self.carrier.send(frame)

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        self._is_over = True
        self.carrier.close(over, code, message)

    def frame_received(self, frame: bytes) -> None:
        if self._passes(frame, is_sent=False):
            self._receiver.frame_received(frame)

    def writable(self) -> None:
        self._receiver.writable()

    def closed(self, over: bool, code: str, message: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._receiver.closed(over, code, message)

    def _passes(self, frame: bytes, *, is_sent: bool) -> bool:
        if self._left > 0 and is_sent == self._counts_sent:
            self._left -= len(frame)
            if self._left <= 0:
                asyncio.get_running_loop().call_later(self._channels.soon(), self._cut)
        return self._left > 0

    def _cut(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._channels.cuts += 1
            self.carrier.close(False, "connection_lost", "cut by the soak")
            self._receiver.closed(False, "connection_lost", "cut by the soak")
