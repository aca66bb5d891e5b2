"""Heartbeats and silence (docs/protocol.md, section 8.5)."""

from __future__ import annotations

import math
from typing import Literal


class Liveness:
    """Says when to send PING and when the peer is silent. Times in milliseconds.

    A loop that was late itself must not take a live peer for a dead one: a `tick` that comes more than half an interval
    after it is `due` begins the measurement anew.
    """

    __slots__ = ("_heard_at", "_is_silent", "_pinged_at", "_sent_at", "due", "interval", "silence")

    def __init__(self, interval: int, silence: int) -> None:
        self.interval = interval
        self.silence = silence
        self._heard_at = math.inf
        self._sent_at = math.inf
        self._pinged_at = -math.inf
        self.due = math.inf
        """When `tick` wants to be called next; infinity while there is no channel."""
        self._is_silent = False

    def start(self, now: float) -> None:
        """A greeted channel is there."""
        self._heard_at = self._sent_at = now
        self._pinged_at = -math.inf
        self._is_silent = False
        self._plan()

    def stop(self) -> None:
        """The channel is gone."""
        self.due = math.inf

    def heard(self, now: float) -> None:
        """A frame arrived."""
        self._heard_at = now
        self._is_silent = False

    def sent(self, now: float) -> None:
        """A frame leaves."""
        self._sent_at = now

    def tick(self, now: float) -> Literal["ping", "silent"] | None:
        """What to do now: send PING, take the peer for silent (told once), or nothing."""
        if now < self.due:
            return None
        if now > self.due + self.interval / 2:
            self._heard_at = max(self._heard_at, now)
        action: Literal["ping", "silent"] | None = None
        if not self._is_silent and now - self._heard_at >= self.silence:
            self._is_silent = True
            action = "silent"
        elif (
            now - min(self._sent_at, self._heard_at) >= self.interval
            and now - self._pinged_at >= self.interval
        ):
            self._pinged_at = now
            action = "ping"
        self._plan()
        if self.due <= now:
            self.due = now + self.interval
        return action

    def _plan(self) -> None:
        ping = max(min(self._sent_at, self._heard_at), self._pinged_at) + self.interval
        self.due = ping if self._is_silent else min(ping, self._heard_at + self.silence)
