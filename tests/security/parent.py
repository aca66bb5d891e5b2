"""A parent and its broker in one process, with real pipes between them: the parent opens channels as Electron's main does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ionbus import Broker, Bus, Endpoint
from ionbus.broker.access import Access
from ionbus.broker.endpoints import Listening
from ionbus.channels.base import Opened, Receiver
from ionbus.channels.multiplex import Multiplex, PipeChannel
from ionbus.channels.pipe import BytePipe, open_pipe
from ionbus.channels.stdio import Stdio
from workshop import opened_bus

LAUNCH_TOKEN = "the token of this launch"
WINDOW: dict[str, Any] = {"role": "window", "web_contents": 1, "frame": 1, "origin": "file://"}


class Parent:
    """The other end of the broker's pipe."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        self.multiplex = Multiplex()
        self.pipe: BytePipe | None = None

    def open(self, receiver: Receiver, **identity: Any) -> PipeChannel:
        """Open a channel, saying this of whom it is for."""
        return self.multiplex.open(receiver, identity)

    @asynccontextmanager
    async def bus(self, token: str | None = LAUNCH_TOKEN, **identity: Any) -> AsyncIterator[Bus]:
        """A client on a channel of the pipe."""

        async def opener(receiver: Receiver) -> Opened:
            return Opened(self.open(receiver, **identity), token)

        async with opened_bus(opener) as bus:
            yield bus

    def opened(self, pipe: BytePipe) -> None:
        self.pipe = pipe
        self.multiplex.use(pipe)

    def received(self, chunk: bytes) -> None:
        self.multiplex.feed(chunk)

    def writable(self) -> None:
        self.multiplex.pump()

    def ended(self, reason: str) -> None:
        self.multiplex.end(reason)


@asynccontextmanager
async def parent(
    broker: Broker, *more_urls: str, access: Access | None = None, launch_token: str | None = LAUNCH_TOKEN
) -> AsyncIterator[Parent]:
    """Serve a broker on pipes, and on what else is named."""
    to_broker, to_parent = os.pipe(), os.pipe()
    listening = Listening(
        broker,
        ["stdio:", *more_urls],
        access=access or Access(),
        launch_token=launch_token,
        grace=1.0,
        stdio=Stdio(to_broker[0], to_parent[1]),
    )
    async with listening as endpoints:
        made = Parent(endpoints)
        await open_pipe(to_parent[0], to_broker[1], made)
        yield made
        assert made.pipe is not None
        made.pipe.close()
        await made.pipe.wait_closed()
