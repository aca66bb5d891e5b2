"""A receiver that writes down what it gets, and waits for conditions instead of sleeping."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ionbus.channels.base import Channel, PeerIdentity

Script = Callable[[str], list[str]]
"""Writes a program; its command line."""


class Recorder:
    """A receiver; `answer` may act on what arrives."""

    def __init__(self, answer: Callable[[bytes], None] | None = None) -> None:
        self.frames: list[bytes] = []
        self.writables = 0
        self.ends: list[tuple[bool, str, str]] = []
        self.answer = answer
        self._happened = asyncio.Event()

    def frame_received(self, frame: bytes) -> None:
        assert type(frame) is bytes
        self.frames.append(frame)
        self._happened.set()
        if self.answer is not None:
            self.answer(frame)

    def writable(self) -> None:
        self.writables += 1
        self._happened.set()

    def closed(self, over: bool, code: str, message: str) -> None:
        self.ends.append((over, code, message))
        self._happened.set()

    async def until(self, condition: Callable[[], object], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._happened.clear()
                await self._happened.wait()

    async def end(self, seconds: float = 10) -> tuple[bool, str, str]:
        await self.until(lambda: self.ends, seconds)
        return self.ends[0]


class Accepted:
    """A broker's side: what was accepted, newest last. With `echo`, frames go back as they came."""

    def __init__(self, echo: bool = False) -> None:
        self.channels: list[Channel] = []
        self.identities: list[PeerIdentity] = []
        self.receivers: list[Recorder] = []
        self._echo = echo
        self._happened = asyncio.Event()

    def __call__(self, channel: Channel, identity: PeerIdentity) -> Recorder:
        receiver = Recorder(channel.send if self._echo else None)
        self.channels.append(channel)
        self.identities.append(identity)
        self.receivers.append(receiver)
        self._happened.set()
        return receiver

    async def count(self, wanted: int) -> None:
        async with asyncio.timeout(10):
            while len(self.channels) < wanted:
                self._happened.clear()
                await self._happened.wait()


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def accepted() -> type[Accepted]:
    return Accepted


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a program; its command line."""

    def write(source: str) -> list[str]:
        path = tmp_path / "program.py"
        path.write_text(source)
        return [sys.executable, str(path)]

    return write
