"""A client that reads nothing, a process of its own: `python -m trials.stalling URL TOKEN`.

For each line `stall` on its standard input it opens a session, subscribes, and then leaves everything in the socket. A line `rest`
ends them all.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from ionbus import connect
from ionbus.channels.base import Opened, Opener, Receiver
from ionbus.channels.websocket import WebSocketChannel
from trials.loading import Load


class Staller:
    """Sessions that read nothing."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._sessions = AsyncExitStack()
        self._channels: list[WebSocketChannel] = []

    def through(self, opener: Opener) -> Opener:
        """Remembers the channels, to take hold of their sockets."""

        async def open_channel(receiver: Receiver) -> Opened:
            opened = await opener(receiver)
            assert isinstance(opened.channel, WebSocketChannel)
            self._channels.append(opened.channel)
            return opened

        return open_channel

    async def stall(self) -> None:
        """One session more."""
        connecting = connect(self._url, token=self._token, through=self.through)
        bus = await self._sessions.enter_async_context(connecting)
        await bus.on(Load.tick, lambda _: None).confirmed()
        await bus.on(Load.news, lambda _: None).confirmed()
        transport = self._channels[-1]._transport
        assert transport is not None
        transport.pause_reading()

    async def rest(self) -> None:
        """End them all."""
        await self._sessions.aclose()
        self._channels.clear()


async def main() -> None:
    """Obey."""
    staller = Staller(*sys.argv[1:3])
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print("ready", flush=True)
    while line := (await reader.readline()).strip():
        if line == b"stall":
            await staller.stall()
            print("stalled", flush=True)
        else:
            await staller.rest()
            print("rests", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
