"""What a frame costs over WebSocket: websockets' Sans-I/O layer under an asyncio protocol beside its stream API.

Client and server are in one process and one event loop, so a round trip is two sends and two receptions of a frame, client's masking
included. Median of 5 runs of 10,000 round trips, CPython 3.11, websockets 17.4, asyncio's own loop, 2 cores of a virtual machine:

| frames | in flight | adapter | stream API | bytes through a bare asyncio.Protocol |
| --- | --- | --- | --- | --- |
| 60 bytes | 1 | 20.5 µs | 40.1 µs | 7.6 µs |
| 60 bytes | 64 | 7.6 µs | 18.4 µs | |
| 64 KiB | 1 | 41.7 µs | 64.0 µs | |

So the adapter costs half of the stream API. Of its 20 µs, 7.6 are the event loop and the kernel, and about 6.5 websockets' own
encoding and parsing (sending 0.8 and 1.4, receiving 2.3 and 2.1), so that writing frames by hand would gain next to nothing.

    python benchmarks/experiments/websocket_adapter.py --count 10000
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from ionbus.channels.base import Channel
from ionbus.channels.websocket_client import websocket_opener
from ionbus.channels.websocket_server import serve_websocket


class Echo:
    """The server's side of the channel."""

    def __init__(self, channel: Channel) -> None:
        channel.max_frame_bytes = 1_048_576
        self.frame_received = channel.send

    def writable(self) -> None: ...

    def closed(self, over: bool, code: str, message: str) -> None: ...


class Pinger:
    """The client's side: sends the next frame when one is back, `in_flight` at a time."""

    def __init__(self, frame: bytes, count: int) -> None:
        self.frame, self.left, self.missing = frame, count, count
        self.channel: Channel | None = None
        self.done = asyncio.get_running_loop().create_future()

    def start(self, channel: Channel, in_flight: int) -> None:
        channel.max_frame_bytes = 1_048_576
        self.channel = channel
        self.left -= in_flight
        for _ in range(in_flight):
            channel.send(self.frame)

    def frame_received(self, frame: bytes) -> None:
        self.missing -= 1
        if self.left:
            self.left -= 1
            assert self.channel is not None
            self.channel.send(self.frame)
        elif not self.missing:
            self.done.set_result(None)

    def writable(self) -> None: ...

    def closed(self, over: bool, code: str, message: str) -> None: ...


class Bounce(asyncio.Protocol):
    """The least that asyncio can do: bytes come, bytes go, no framing."""

    def __init__(self, frame: bytes = b"", count: int = 0) -> None:
        self.frame, self.left = frame, count
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.left:
            transport.write(self.frame)

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.write(data)
        else:
            self.done.set_result(None)


async def adapter(frame: bytes, count: int, in_flight: int) -> float:
    server = await serve_websocket("127.0.0.1", 0, lambda channel, _: Echo(channel))
    pinger = Pinger(frame, count)
    opened = await websocket_opener(server.url)(pinger)
    start = time.perf_counter()
    pinger.start(opened.channel, in_flight)
    await pinger.done
    took = time.perf_counter() - start
    opened.channel.close()
    server.close()
    await server.wait_closed()
    return took


async def stream_api(frame: bytes, count: int, in_flight: int) -> float:
    async def echo(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", compression=None, max_queue=None) as peer:
            start = time.perf_counter()
            for _ in range(in_flight):
                await peer.send(frame)
            for _ in range(count - in_flight):
                await peer.recv()
                await peer.send(frame)
            for _ in range(in_flight):
                await peer.recv()
            return time.perf_counter() - start


async def bare_protocol(frame: bytes, count: int, in_flight: int) -> float:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bounce(frame, -1), "127.0.0.1", 0)
    start = time.perf_counter()
    _, client = await loop.create_connection(lambda: Bounce(frame, count), *server.sockets[0].getsockname())
    await client.done
    took = time.perf_counter() - start
    client.transport.close()
    server.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for size, in_flight in ((60, 1), (60, 64), (65_536, 1)):
        contenders = [adapter, stream_api] + ([bare_protocol] if in_flight == 1 and size == 60 else [])
        times: dict[str, list[float]] = {each.__name__: [] for each in contenders}
        for _ in range(options.runs):  # in turn, so that a slow moment of the machine hits all
            for each in contenders:
                took = asyncio.run(each(bytes(size), options.count, in_flight))
                times[each.__name__].append(took / options.count * 1e6)
        for name, found in times.items():
            print(
                f"{size:6} bytes, {in_flight:2} in flight, {name:14}: "
                f"{statistics.median(found):6.1f} µs a round trip (min {min(found):.1f}, max {max(found):.1f})"
            )


if __name__ == "__main__":
    main()
