"""A proxy whose connections fail at the byte that a test names: what the two sockets see."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import pytest

from ionbus import ConnectionLost, connect
from ionbus.testing import FaultProxy, Faults, ProxyConnection
from ionbus.testing.faults import Direction, Settings
from ionbus.testing.passage import Frames
from ionbus.testing.proxy import How
from workshop import eventually

HEAD = b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n"


@dataclass
class Heard:
    """What one end of a socket has read, and how that ended."""

    data: bytearray = field(default_factory=bytearray)
    end: str = ""

    async def listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while chunk := await reader.read(65_536):
                self.data += chunk
            self.end = "FIN"
        except ConnectionResetError:
            self.end = "RST"


@dataclass
class Wire:
    """Both ends of a proxied connection."""

    proxy: FaultProxy
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    at_client: Heard
    at_broker: Heard

    def heard(self, direction: Direction) -> Heard:
        return self.at_broker if direction == "to_broker" else self.at_client

    def sender(self, direction: Direction) -> asyncio.StreamWriter:
        return self.client if direction == "to_broker" else self.broker


@asynccontextmanager
async def wire(proxy: FaultProxy | None = None, head: bytes = HEAD) -> AsyncIterator[Wire]:
    """A client and a listener, `head` sent and everything read."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: accepted.put_nowait(ends), "127.0.0.1", 0)
    target = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    proxy = proxy or FaultProxy(target)
    proxy.target = target
    async with server, proxy, asyncio.TaskGroup() as tasks:
        near_reader, near = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        near.write(head)
        far_reader, far = await accepted.get()
        ends = Wire(proxy, near, far, Heard(), Heard())
        hearing = [
            tasks.create_task(ends.at_client.listen(near_reader)),
            tasks.create_task(ends.at_broker.listen(far_reader)),
        ]
        yield ends
        for task in hearing:
            task.cancel()
        for writer in (near, far):
            writer.close()


@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
@pytest.mark.parametrize(("how", "end"), [("reset", "RST"), ("close", "FIN")])
@pytest.mark.parametrize("after_bytes", [1, 1000, 300_000])
async def test_a_cut_lets_exactly_so_many_bytes_through(
    direction: Direction, how: How, end: str, after_bytes: int
) -> None:
    async with wire(head=b"") as ends:
        sent = os.urandom(400_000)
        [connection] = ends.proxy.connections
        if direction == "to_broker":  # until the end of a head nothing is a stream of bytes yet
            ends.client.write(HEAD)
            await eventually(lambda: ends.at_broker.data.endswith(b"\r\n\r\n"))
            ends.at_broker.data.clear()
        connection.cut(how=how, after_bytes=after_bytes, direction=direction)
        ends.sender(direction).write(sent)
        await eventually(lambda: ends.at_client.end and ends.at_broker.end, "the end of both")
        assert bytes(ends.heard(direction).data) == sent[:after_bytes]
        assert (ends.at_client.end, ends.at_broker.end) == (end, end)
        [injected] = ends.proxy.faults.injected
        assert injected.direction == direction
        assert injected.byte == connection.passed(direction)


async def test_a_new_connection_is_cut_where_on_connection_says() -> None:
    def plan(connection: ProxyConnection) -> None:
        connection.cut(after_bytes=10, direction="to_client", how="close")

    async with wire(FaultProxy("ws://set.below", on_connection=plan)) as ends:
        ends.broker.write(b"0123456789abcdef")
        await eventually(lambda: ends.at_client.end == "FIN")
        assert ends.at_client.data == b"0123456789"


async def test_bytes_pass_both_ways_and_so_does_the_end_of_one_direction() -> None:
    async with wire() as ends:
        big = os.urandom(3_000_000)
        ends.client.write(big)
        ends.client.write_eof()
        await eventually(lambda: ends.at_broker.end == "FIN")
        assert ends.at_broker.data.partition(b"\r\n\r\n")[2] == big
        ends.broker.write(big)
        await eventually(lambda: len(ends.at_client.data) == len(big))
        ends.broker.close()
        await eventually(lambda: not ends.proxy.connections)
        assert ends.at_client.data == big
        assert ends.at_client.end == "FIN"


async def test_who_resets_is_reset_at_the_other_end() -> None:
    async with wire() as ends:
        await eventually(lambda: ends.at_broker.data)
        near = ends.client.get_extra_info("socket")
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.client.transport.abort()
        await eventually(lambda: ends.at_broker.end == "RST")
        await eventually(lambda: not ends.proxy.connections)


@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
async def test_a_stall_holds_one_direction_and_makes_its_sender_wait(direction: Direction) -> None:
    other: Direction = "to_client" if direction == "to_broker" else "to_broker"
    async with wire() as ends:
        await eventually(lambda: ends.at_broker.data)
        ends.at_broker.data.clear()
        ends.proxy.stall(direction, after_bytes=5)
        big = os.urandom(30_000_000)  # more than kernels hold
        ends.sender(direction).write(big)
        ends.sender(other).write(b"passes")
        await eventually(lambda: bytes(ends.heard(other).data) == b"passes")
        assert bytes(ends.heard(direction).data) == big[:5]
        assert ends.sender(direction).transport.get_write_buffer_size() > 0
        ends.proxy.resume(direction)
        await eventually(lambda: len(ends.heard(direction).data) == len(big), "all of it")
        assert ends.heard(direction).data == big


@pytest.mark.parametrize(
    ("keep", "ends_with"), [("client", ("", "RST")), ("broker", ("RST", "")), (None, ("", ""))]
)
async def test_half_open_keeps_one_socket_or_both_and_says_nothing(
    keep: Literal["client", "broker"] | None, ends_with: tuple[str, str]
) -> None:
    async with wire() as ends:
        await eventually(lambda: ends.at_broker.data)
        ends.proxy.half_open(keep, after_bytes=4, direction="to_client")
        ends.broker.write(b"12345678")
        await eventually(lambda: ends.proxy.faults.counts["half_open"])
        ends.client.write(b"lost")
        await eventually(lambda: (ends.at_client.end, ends.at_broker.end) == ends_with)
        await eventually(lambda: ends.at_client.data == b"1234")
        assert not ends.at_broker.data.endswith(b"lost")
        ends.client.close()
        ends.broker.close()
        await eventually(lambda: not ends.proxy.connections)


async def test_one_bit_of_one_byte_is_flipped() -> None:
    async with wire() as ends:
        [connection] = ends.proxy.connections
        connection.flip("to_client", after_bytes=2, bit=5)
        ends.broker.write(b"AAAAA")
        await eventually(lambda: ends.at_client.data == b"AAaAA")


async def test_the_host_of_a_request_is_the_brokers_own() -> None:
    async with wire(head=b"") as ends:
        for byte in HEAD + b"more":
            ends.client.write(bytes([byte]))
            await ends.client.drain()
        port = ends.proxy.target.rpartition(":")[2].encode()
        expected = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:" + port + b"\r\n\r\nmore"
        await eventually(lambda: ends.at_broker.data == expected)


async def test_where_nothing_listens_a_client_is_told() -> None:
    async with FaultProxy("ws://127.0.0.1:1") as proxy:
        with pytest.raises(ConnectionLost):
            async with connect(proxy.url):
                pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "stdio:", "somewhere"])
async def test_what_is_no_url_of_a_broker_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no URL of a broker"):
        async with FaultProxy(url):
            pass


def frame(payload: bytes, *, is_masked: bool) -> bytes:
    size = len(payload)
    mask = 0x80 if is_masked else 0
    if size < 126:
        head = bytes([0x82, mask | size])
    elif size < 65_536:
        head = bytes([0x82, mask | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x82, mask | 127]) + size.to_bytes(8, "big")
    return head + (b"mask" if is_masked else b"") + payload


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_frames_are_told_from_one_another_however_they_come(step: int, is_masked: bool) -> None:
    whole = [
        HEAD,
        *(frame(bytes(size), is_masked=is_masked) for size in (0, 1, 125, 126, 700, 65_535, 65_536)),
    ]
    data = b"".join(whole) + b"\x82"
    frames = Frames()
    found = [each for at in range(0, len(data), step) for each in frames.feed(data[at : at + step])]
    assert found == whole
    assert frames.rest == b"\x82"


async def test_the_same_seed_and_bytes_have_the_same_faults() -> None:
    settings = Settings(duplicate=0.2, flip=0.2, truncate=0.1, jitter=0.001)

    async def arrived(seed: int) -> tuple[bytes, list[str]]:
        async with wire(FaultProxy("ws://set.below", Faults(seed=seed, **settings))) as ends:
            for number in range(40):
                ends.broker.write(
                    (HEAD if number == 0 else b"") + frame(bytes([number]) * number, is_masked=False)
                )
            await eventually(lambda: ends.at_client.end == "FIN")
            return bytes(ends.at_client.data), [str(each) for each in ends.proxy.faults.injected]

    first, again, other = await arrived(5), await arrived(5), await arrived(6)
    assert first == again
    assert first != other


async def test_a_proxy_says_its_seed_and_each_connection_has_numbers_of_its_own() -> None:
    async def drawn(seed: int) -> list[float]:
        numbers: list[float] = []
        proxy = FaultProxy(
            "ws://set.below", seed=seed, on_connection=lambda each: numbers.append(each.random())
        )
        assert f"seed={seed}" in repr(proxy)
        async with wire(proxy):
            _, second = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
            await eventually(lambda: proxy.opened == 2)
            second.close()
        return numbers

    first, again, other = await drawn(11), await drawn(11), await drawn(12)
    assert first == again
    assert first[0] != first[1]
    assert first != other
