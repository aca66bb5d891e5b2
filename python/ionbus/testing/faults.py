"""A plan of what goes wrong on a channel: from one seed, and the same each time for the same frames in the same order."""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypedDict, get_args

from typing_extensions import Unpack

from ionbus.testing.dice import Dice

Direction = Literal["to_broker", "to_client"]
"""Which way a frame goes."""

Fault = Literal["drop", "cut", "duplicate", "truncate", "flip", "stall", "half_open"]
"""What may happen to a frame, besides that it is late."""

DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
REMEMBERED: Final = 1_000
"""How many faults `Faults.injected` remembers."""


class Settings(TypedDict, total=False):
    """What `Faults` can be told. Probabilities are per frame, times in seconds; all are 0 where nothing is said."""

    delay: float
    """Each frame is so late. Frames keep their order."""
    jitter: float
    """Each frame is later by up to so much more."""
    drop: float
    """The channel is lost, the frame with it."""
    cut: float
    """A part of the frame arrives, then the channel is lost."""
    duplicate: float
    """The frame arrives twice."""
    truncate: float
    """Only a part of the frame arrives."""
    flip: float
    """One bit of the frame is another."""
    stall: float
    """The frame, and all behind it, waits for `stall_seconds`."""
    stall_seconds: float
    """How long a stall lasts; 1 where nothing is said."""
    half_open: float
    """From this frame on nothing arrives, neither way, and neither end is told."""
    after: int
    """So many frames of each channel, in each direction, pass unharmed first."""
    directions: tuple[Direction, ...]
    """Which way frames come to harm; both where nothing is said."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one frame.

    Args:
        delay: seconds that it is late.
        fault: what happens to it then, if anything.
        at: where in the frame, from 0 to below 1.
    """

    delay: float = 0.0
    fault: Fault | None = None
    at: float = 0.0

    def prefix(self, frame: bytes) -> bytes:
        """The part of the frame that arrives: neither nothing nor all of it."""
        return frame[: 1 + int(self.at * max(0, len(frame) - 1))]

    def flipped(self, frame: bytes) -> bytes:
        """The frame with one bit changed."""
        bit = int(self.at * len(frame) * 8)
        changed = bytearray(frame)
        if changed:
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was injected: into which channel (from 1, in the order of their opening), which way, and at which frame (from 1).

    `byte`: at a proxy, how many bytes had passed.
    """

    channel: int
    direction: Direction
    frame: int
    fault: Fault
    byte: int | None = None

    def __str__(self) -> str:
        where = f"frame {self.frame}" if self.byte is None else f"byte {self.byte}"
        return f"channel {self.channel} {self.direction} {where}: {self.fault}"


class Faulty(Protocol):
    """What commands go to: a channel, or a connection through a proxy."""

    def cut(self) -> None:
        """Lose it now."""

    def stall(self, direction: Direction | None = None) -> None:
        """Let nothing arrive until `resume`."""

    def resume(self, direction: Direction | None = None) -> None:
        """End a stall."""

    def half_open(self) -> None:
        """Let nothing arrive any more, and tell nobody."""

    def abandon(self) -> None:
        """Close it, whatever was told to whom."""


class Faults:
    """What goes wrong on the channels that it is given to, and the commands that make something go wrong now.

        faults = Faults(seed=7, jitter=0.02, cut=0.01)

    Each direction of each channel has a sequence of random numbers of its own, so that the same seed and the same
    frames have the same faults, whatever happens in the other direction meanwhile, and in TypeScript as in Python.

    Args:
        seed: repeats a run; a random one where it is left out. `repr()` shows it.
        settings: see `Settings`; `set` changes them later.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(self, *, seed: int | None = None, **settings: Unpack[Settings]) -> None:
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.injected: deque[Injected] = deque(maxlen=REMEMBERED)
        """The newest faults, oldest first."""
        self.counts: Counter[Fault] = Counter()
        """How many of each."""
        self.channels: list[Faulty] = []
        """Those that are open, oldest first."""
        self._opened = 0
        self._settings: Settings = {}
        self.set(**settings)

    def __repr__(self) -> str:
        shown = "".join(f", {name}={value!r}" for name, value in self._settings.items())
        return f"Faults(seed={self.seed}{shown})"

    @property
    def settings(self) -> Settings:
        """What was set."""
        return self._settings.copy()

    def set(self, **settings: Unpack[Settings]) -> None:
        """Change settings, from the next frame on.

        Raises:
            ValueError: one is out of its range.
        """
        merged: Settings = {**self._settings, **settings}
        _check(merged)
        self._settings = merged

    def report(self) -> str:
        """What was injected, for a person: `repr`, the counts and the last faults."""
        counts = ", ".join(f"{count} {fault}" for fault, count in self.counts.items()) or "nothing"
        lines = [repr(self), f"injected: {counts}"]
        if self.injected:
            lines += [
                f"the last of {self.counts.total()}:",
                *(f"  {each}" for each in list(self.injected)[-20:]),
            ]
        return "\n".join(lines)

    # Commands, to every channel that is open.

    def cut(self) -> None:
        """Lose every channel now: what is under way is lost, and both ends are told."""
        for channel in tuple(self.channels):
            channel.cut()

    def stall(self, direction: Direction | None = None) -> None:
        """Let nothing arrive, in one direction or both, until `resume`."""
        for channel in tuple(self.channels):
            channel.stall(direction)

    def resume(self, direction: Direction | None = None) -> None:
        """End a stall: what waited arrives."""
        for channel in tuple(self.channels):
            channel.resume(direction)

    def half_open(self) -> None:
        """Lose what is under way and all that comes later, in both directions, and tell neither end."""
        for channel in tuple(self.channels):
            channel.half_open()

    def close(self) -> None:
        """Close every channel, those that are half open included: at the end of a test."""
        for channel in tuple(self.channels):
            channel.abandon()

    # For channels.

    def joined(self, channel: Faulty) -> int:
        """A channel is there; its number."""
        self._opened += 1
        self.channels.append(channel)
        return self._opened

    def left(self, channel: Faulty) -> None:
        """A channel is gone."""
        if channel in self.channels:
            self.channels.remove(channel)

    def plan(self, channel: int, direction: Direction) -> Plan:
        """The fates of one direction of one channel."""
        return Plan(self, channel, direction)

    def note(self, injected: Injected) -> None:
        """A fault has happened."""
        self.injected.append(injected)
        self.counts[injected.fault] += 1


class Plan:
    """The fates of the frames that go one way on one channel."""

    def __init__(self, faults: Faults, channel: int, direction: Direction) -> None:
        self._faults = faults
        self._channel = channel
        self._direction = direction
        self._dice = Dice(f"{faults.seed} {channel} {direction}")
        self._frames = 0

    def next(self) -> Fate:
        """The next frame's. Each takes three random numbers, so that one setting does not shift what another one brings."""
        self._frames += 1
        chance, late, at = self._dice.random(), self._dice.random(), self._dice.random()
        settings = self._faults.settings
        if self._direction not in settings.get("directions", DIRECTIONS) or self._frames <= settings.get(
            "after", 0
        ):
            return Fate()
        delay = settings.get("delay", 0.0) + late * settings.get("jitter", 0.0)
        return Fate(delay, _chosen(settings, chance), at)

    def happened(self, fault: Fault, frame: int) -> None:
        """A fault has come to a frame."""
        self._faults.note(Injected(self._channel, self._direction, frame, fault))


def _chosen(settings: Settings, chance: float) -> Fault | None:
    for fault in FAULTS:
        chance -= settings.get(fault, 0.0)
        if chance < 0:
            return fault
    return None


def _check(settings: Settings) -> None:
    known = Settings.__annotations__
    for name, value in settings.items():
        if name not in known:
            raise TypeError(f"Faults has no {name!r}; there are {', '.join(known)}")
        if name == "directions":
            wrong = [each for each in settings["directions"] if each not in DIRECTIONS]
            if wrong:
                raise ValueError(f"a direction is {' or '.join(map(repr, DIRECTIONS))}, not {wrong[0]!r}")
        elif not isinstance(value, (int, float)) or not value >= 0:
            raise ValueError(f"{name} is at least 0, not {value!r}")
    total = sum(settings.get(fault, 0.0) for fault in FAULTS)
    if total > 1:
        raise ValueError(f"the probabilities of {', '.join(FAULTS)} are at most 1 together, not {total:g}")
