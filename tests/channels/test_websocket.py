"""WebSocket channels over real sockets (docs/protocol.md, section 2.1)."""

import asyncio
import base64
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

import pytest
import websockets
from websockets.asyncio.client import connect as raw_connect
from websockets.typing import Origin, Subprotocol

from channels.conftest import Accepted, Recorder
from ionbus.channels import websocket
from ionbus.channels.base import Channel
from ionbus.channels.websocket_client import websocket_opener
from ionbus.channels.websocket_server import WebSocketServer, serve_websocket
from ionbus.errors import ConnectionLost
from ionbus.generated.protocol import Limits

MEGABYTE = 1_048_576
SUBPROTOCOL = Subprotocol("ionbus.v1")

Certificate = tuple[ssl.SSLContext, ssl.SSLContext]


class Options(TypedDict, total=False):
    """What a test may say of its server."""

    origins: Collection[str]
    hosts: Collection[str]
    limits: Limits


class Serve(Protocol):
    """Start a server, with a broker of its own where none is given."""

    async def __call__(
        self, broker: Accepted | None = None, **options: Unpack[Options]
    ) -> tuple[WebSocketServer, Accepted]: ...


@pytest.fixture
async def serve(accepted: type[Accepted]) -> AsyncIterator[Serve]:
    servers: list[WebSocketServer] = []

    async def start(
        broker: Accepted | None = None, **options: Unpack[Options]
    ) -> tuple[WebSocketServer, Accepted]:
        broker = broker or accepted()
        server = await serve_websocket("127.0.0.1", 0, broker, **options)
        servers.append(server)
        return server, broker

    yield start
    for server in servers:
        server.close()
        async with asyncio.timeout(10):
            await server.wait_closed()


async def exchange(port: int, *lines: str) -> tuple[int, str, str]:
    """One HTTP request as text; the status, the headers and the body of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = "" if " 101 " in head else (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), head, body


def upgrade(host: str, *more: str, subprotocol: str | None = "ionbus.v1") -> list[str]:
    key = base64.b64encode(bytes(16)).decode()
    return [
        "GET / HTTP/1.1",
        *([f"Host: {host}"] if host else []),
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
        *more,
    ]


# Frames.


async def test_frames_both_ways_and_close(serve: Serve, recorder: type[Recorder]) -> None:
    server, broker = await serve()
    client = recorder()
    opened = await websocket_opener(server.url, "secret")(client)
    assert opened.token == "secret"
    assert (opened.channel.kind, opened.channel.silence_is_fatal) == ("websocket", True)
    opened.channel.send(b"hello")
    await broker.count(1)
    at_broker = broker.receivers[0]
    await at_broker.until(lambda: at_broker.frames)
    for number in range(100):
        broker.channels[0].send(b"%d" % number)
    await client.until(lambda: len(client.frames) == 100)
    assert client.frames == [b"%d" % number for number in range(100)]
    opened.channel.send(b"last")
    opened.channel.close()
    opened.channel.send(b"not any more")
    over, code, message = await at_broker.end()
    assert at_broker.frames == [b"hello", b"last"]
    assert (over, code) == (False, "connection_lost")
    assert "closed" in message
    assert client.ends == []  # we closed it


async def test_identity_holds_the_origin(serve: Serve) -> None:
    server, broker = await serve()
    origin = f"http://localhost:{server.port}"
    async with raw_connect(server.url, subprotocols=[SUBPROTOCOL], origin=Origin(origin)) as peer:
        await broker.count(1)
        assert peer.subprotocol == "ionbus.v1"
        assert peer.protocol.extensions == []  # it offers compression, we take none
    assert broker.identities[0].origin == origin
    assert broker.identities[0].role == "client"


async def test_a_large_frame_and_fragments(serve: Serve, recorder: type[Recorder]) -> None:
    server, broker = await serve()
    async with raw_connect(server.url, subprotocols=[SUBPROTOCOL]) as peer:
        await broker.count(1)
        broker.channels[0].max_frame_bytes = MEGABYTE
        await peer.send(bytes(MEGABYTE))
        await peer.send([b"one ", b"", b"message"])
        receiver = broker.receivers[0]
        await receiver.until(lambda: len(receiver.frames) == 2)
        assert receiver.frames == [bytes(MEGABYTE), b"one message"]
        broker.channels[0].send(bytes(MEGABYTE))
        assert await peer.recv() == bytes(MEGABYTE)


async def test_what_the_receiver_sends_at_once_leaves_before_more_is_read(
    serve: Serve, accepted: type[Accepted], recorder: type[Recorder]
) -> None:
    server, _ = await serve(accepted(echo=True))
    client = recorder()
    opened = await websocket_opener(server.url)(client)
    for _ in range(50):
        opened.channel.send(b"ping")
    await client.until(lambda: len(client.frames) == 50)


async def test_welcome_and_a_large_frame_in_one_read(serve: Serve, recorder: type[Recorder]) -> None:
    """The bound of the greeting must not meet the frame behind WELCOME, which may come in the same read."""
    server, broker = await serve()
    channel: Channel
    client = recorder(lambda _: setattr(channel, "max_frame_bytes", MEGABYTE))
    channel = (await websocket_opener(server.url)(client)).channel
    await broker.count(1)
    broker.channels[0].send(b"welcome")
    broker.channels[0].send(bytes(20_000))
    await client.until(lambda: len(client.frames) == 2 or client.ends)
    assert client.frames == [b"welcome", bytes(20_000)]


# Violations.


async def test_text_message(serve: Serve) -> None:
    server, broker = await serve()
    async with raw_connect(server.url, subprotocols=[SUBPROTOCOL]) as peer:
        await peer.send(b"fine")
        await peer.send("text")
        await peer.send(b"not taken")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await peer.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003
    receiver = broker.receivers[0]
    assert receiver.frames == [b"fine"]
    assert receiver.ends == [(False, "protocol_error", "a text message; each frame is one binary message")]


@pytest.mark.parametrize("in_fragments", [False, True])
async def test_oversize_before_the_greeting_is_over(serve: Serve, in_fragments: bool) -> None:
    server, broker = await serve()
    async with raw_connect(server.url, subprotocols=[SUBPROTOCOL]) as peer:
        await peer.send(bytes(16_384))
        await peer.send([bytes(10_000), bytes(6_385)] if in_fragments else bytes(16_385))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await peer.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    receiver = broker.receivers[0]
    assert [len(frame) for frame in receiver.frames] == [16_384]
    assert receiver.ends[0][:2] == (False, "too_large")
    assert "at most 16384" in receiver.ends[0][2]


async def test_oversize_is_refused_before_it_is_there(serve: Serve) -> None:
    """The length alone ends it: four gigabytes are announced and not sent."""
    server, broker = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(("\r\n".join(upgrade(f"127.0.0.1:{server.port}")) + "\r\n\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x82\xff" + (2**32).to_bytes(8, "big"))
    async with asyncio.timeout(10):
        assert (await reader.read())[:4][2:] == (1009).to_bytes(2, "big")
    writer.close()
    await writer.wait_closed()
    assert broker.receivers[0].ends[0][:2] == (False, "too_large")


async def test_oversize_at_the_client(serve: Serve, recorder: type[Recorder]) -> None:
    server, broker = await serve()
    client = recorder()
    await websocket_opener(server.url)(client)
    await broker.count(1)
    broker.channels[0].send(bytes(16_385))
    assert (await client.end())[:2] == (False, "too_large")
    assert (await broker.receivers[0].end())[:2] == (False, "connection_lost")
    assert "1009" in broker.receivers[0].ends[0][2]


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x82\x01x", b"GET / HTTP/1.1\r\n\r\n"])
async def test_garbage_after_the_handshake(serve: Serve, garbage: bytes) -> None:
    server, broker = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(("\r\n".join(upgrade(f"127.0.0.1:{server.port}")) + "\r\n\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(garbage)
    async with asyncio.timeout(10):
        assert (await reader.read())[2:4] == (1002).to_bytes(2, "big")
    writer.close()
    await writer.wait_closed()
    assert broker.receivers[0].ends[0][:2] == (False, "protocol_error")


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", b"\x82\x01x", b"\x88\x80aaaa", b"\x82\xfe\xff\xffaaaa" + bytes(70_000)]
)
@pytest.mark.parametrize("host", [None, "evil.example"])
async def test_who_does_not_wait_for_the_answer_and_sends_garbage_is_cut_off(
    serve: Serve, garbage: bytes, host: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    server, broker = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request = "\r\n".join(upgrade(host or f"127.0.0.1:{server.port}")) + "\r\n\r\n"
    writer.write(request.encode() + garbage)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert b"101" not in (await reader.read())[:12]
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert not broker.receivers
    assert not caplog.records


async def test_a_broken_connection_is_lost(serve: Serve) -> None:
    server, broker = await serve()
    peer = socket.create_connection(("127.0.0.1", server.port))
    peer.sendall(("\r\n".join(upgrade(f"127.0.0.1:{server.port}")) + "\r\n\r\n").encode())
    await broker.count(1)
    peer.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )  # close with a reset
    peer.close()
    assert (await broker.receivers[0].end())[:2] == (False, "connection_lost")
    broker.channels[0].send(b"into the void")
    broker.channels[0].close()


# Back-pressure.


async def test_back_pressure(serve: Serve) -> None:
    server, broker = await serve()
    async with raw_connect(server.url, subprotocols=[SUBPROTOCOL], max_size=None, max_queue=1) as peer:
        await broker.count(1)
        channel, receiver = broker.channels[0], broker.receivers[0]
        sent = 0
        while channel.is_writable:
            channel.send(bytes(65_536))
            sent += 1
            await asyncio.sleep(0)
        assert receiver.writables == 0
        for _ in range(sent):
            await peer.recv()
        await receiver.until(lambda: receiver.writables)
        assert channel.is_writable


async def test_what_answers_one_read_is_no_more_than_the_socket_takes(serve: Serve) -> None:
    server, broker = await serve()
    async with raw_connect(server.url, subprotocols=[SUBPROTOCOL], max_size=None, max_queue=1) as peer:
        await broker.count(1)
        channel, receiver = broker.channels[0], broker.receivers[0]
        sent: list[int] = []

        def send_all(_: bytes) -> None:
            while channel.is_writable and len(sent) < 2_000:
                channel.send(bytes(65_536))
                sent.append(65_536)

        receiver.answer = send_all
        await peer.send(b"everything")
        await receiver.until(lambda: sent)
        assert not channel.is_writable
        assert len(sent) < 2_000
        for _ in range(len(sent)):
            await peer.recv()


async def test_a_peer_that_never_reads_loses_its_channel(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_BUFFERED_BYTES", 1_000_000)
    server, broker = await serve()
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(("\r\n".join(upgrade(f"127.0.0.1:{server.port}")) + "\r\n\r\n").encode())
        await broker.count(1)
        for _ in range(1000):
            broker.channels[0].send(bytes(65_536))
            if broker.receivers[0].ends:
                break
            await asyncio.sleep(0)
        assert broker.receivers[0].ends[0][:2] == (False, "connection_lost")
        assert "unread" in broker.receivers[0].ends[0][2]


async def test_closing_does_not_wait_for_ever(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.05)
    server, broker = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(("\r\n".join(upgrade(f"127.0.0.1:{server.port}")) + "\r\n\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")
    server.close()
    async with asyncio.timeout(5):
        await server.wait_closed()
    assert broker.receivers[0].ends == [(False, "connection_lost", "the server stopped")]
    writer.close()


# Who may connect.


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_good_hosts(serve: Serve, name: str) -> None:
    server, _ = await serve()
    assert (await exchange(server.port, *upgrade(f"{name}:{server.port}")))[0] == 101


@pytest.mark.parametrize(
    "host", ["evil.example:{}", "localhost", "127.0.0.1:1", "localhost:{}.evil.example", ""]
)
async def test_bad_hosts(serve: Serve, host: str) -> None:
    server, broker = await serve()
    status, _, body = await exchange(server.port, *upgrade(host.format(server.port)))
    assert status == 421
    assert "hosts" in body
    assert broker.channels == []


async def test_named_hosts(serve: Serve) -> None:
    server, _ = await serve(hosts=["app.example", "proxy.example:443"])
    assert (await exchange(server.port, *upgrade(f"app.example:{server.port}")))[0] == 101
    assert (await exchange(server.port, *upgrade("proxy.example:443")))[0] == 101
    assert (await exchange(server.port, *upgrade("proxy.example")))[0] == 421


async def test_two_hosts_are_refused(serve: Serve) -> None:
    server, _ = await serve()
    good = f"127.0.0.1:{server.port}"
    assert (await exchange(server.port, *upgrade(good, "Host: evil.example")))[0] == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{}", 101),
        ("http://localhost:{}", 101),
        ("https://localhost:{}", 403),
        ("http://localhost", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("file://", 403),
        ("https://app.example", 101),
        ("https://app.example.evil.example", 403),
        ("", 403),
    ],
)
async def test_origins(serve: Serve, origin: str, status: int) -> None:
    server, _ = await serve(origins=["https://app.example"])
    lines = upgrade(f"127.0.0.1:{server.port}", f"Origin: {origin.format(server.port)}")
    found, _, body = await exchange(server.port, *lines)
    assert found == status
    assert status == 101 or "origins" in body


@pytest.mark.parametrize("origin", ["null", "file://", "app://bundle"])
async def test_special_origins_only_where_named(serve: Serve, origin: str) -> None:
    server, _ = await serve(origins=[origin])
    good = f"127.0.0.1:{server.port}"
    assert (await exchange(server.port, *upgrade(good, f"Origin: {origin}")))[0] == 101
    assert (await exchange(server.port, *upgrade(good, f"Origin: {origin}", f"Origin: {origin}")))[0] == 403


@pytest.mark.parametrize("offered", [None, "chat", "ionbus.v2"])
async def test_subprotocol_is_required(serve: Serve, offered: str | None) -> None:
    server, broker = await serve()
    status, _, body = await exchange(server.port, *upgrade(f"127.0.0.1:{server.port}", subprotocol=offered))
    assert status == 400
    assert "ionbus.v1" in body
    assert broker.channels == []


async def test_plain_http_is_told_what_this_is(serve: Serve) -> None:
    server, _ = await serve()
    status, head, body = await exchange(server.port, "GET / HTTP/1.1", f"Host: localhost:{server.port}")
    assert status == 426
    assert "Upgrade: websocket" in head
    assert "ionbus.v1" in body
    assert server.url in body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["POST", "a TLS hello"],
)
async def test_what_is_no_get_is_closed(serve: Serve, request_bytes: bytes) -> None:
    server, broker = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_bytes.replace(b"%d", b"%d" % server.port))
    async with asyncio.timeout(10):
        assert (await reader.read())[:12] in (b"", b"HTTP/1.1 405", b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()
    assert broker.channels == []


async def test_handshake_times_out(serve: Serve) -> None:
    server, _ = await serve(limits=Limits(handshake_ms=50))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\n")
    async with asyncio.timeout(5):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()


async def test_too_many_handshakes(serve: Serve, recorder: type[Recorder]) -> None:
    server, broker = await serve(limits=Limits(max_greeting_channels=2))
    opener = websocket_opener(server.url)
    first = await opener(recorder())
    await opener(recorder())
    with pytest.raises(ConnectionLost, match="503: ionbus: too many connections"):
        await opener(recorder())
    broker.channels[0].max_frame_bytes = MEGABYTE  # its greeting is over
    await opener(recorder())
    with pytest.raises(ConnectionLost, match="503"):
        await opener(recorder())
    first.channel.close()
    await broker.receivers[0].end()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.com"])
async def test_other_machines_need_tls(accepted: type[Accepted], host: str) -> None:
    with pytest.raises(ValueError, match="ssl"):
        await serve_websocket(host, 0, accepted())


@pytest.mark.parametrize(
    "options", [{"origins": ["*"]}, {"origins": ["app.example"]}, {"hosts": ["http://x"]}]
)
async def test_misspelt_options(accepted: type[Accepted], options: Options) -> None:
    with pytest.raises(ValueError, match="write it as"):
        await serve_websocket("127.0.0.1", 0, accepted(), **options)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert websocket.is_loopback(host) is loopback


async def test_ipv6(accepted: type[Accepted], monkeypatch: pytest.MonkeyPatch) -> None:
    """On an address that every machine has: containers often are without IPv6."""
    loop = asyncio.get_running_loop()
    create_server: Any = loop.create_server
    asked: list[str] = []

    async def on_ipv4(factory: object, host: str, port: int, **options: Any) -> asyncio.Server:
        asked.append(host)
        server: asyncio.Server = await create_server(factory, "127.0.0.1", port, **options)
        return server

    monkeypatch.setattr(loop, "create_server", on_ipv4)
    server = await serve_websocket("::1", 0, accepted())
    assert asked == ["::1"]
    assert server.url == f"ws://[::1]:{server.port}"
    host = f"[::1]:{server.port}"
    assert (await exchange(server.port, *upgrade(host, f"Origin: http://{host}")))[0] == 101
    assert (await exchange(server.port, *upgrade("[::1]")))[0] == 421
    server.close()
    await server.wait_closed()


# The client's opener.


async def test_url_and_token_are_asked_at_each_attempt(serve: Serve, recorder: type[Recorder]) -> None:
    server, _ = await serve()
    asked: list[str] = []

    def url() -> str:
        asked.append("url")
        return server.url

    async def token() -> str:
        asked.append("token")
        return f"token {len(asked)}"

    opener = websocket_opener(url, token)
    assert (await opener(recorder())).token == "token 2"
    assert (await opener(recorder())).token == "token 4"


@pytest.mark.parametrize("problem", [RuntimeError("no port file"), None])
async def test_url_functions_that_fail(recorder: type[Recorder], problem: RuntimeError | None) -> None:
    def url() -> None:
        if problem:
            raise problem

    with pytest.raises(ConnectionLost, match="no port file" if problem else "IONBUS_URL"):
        await websocket_opener(url)(recorder())


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_what_may_be_secret_in_a_url_is_not_told(recorder: type[Recorder], scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"{scheme}://127.0.0.1:{unused.getsockname()[1]}/bus?key=secret#secret"
    with pytest.raises(ConnectionLost) as lost:
        await websocket_opener(lambda: url)(recorder())
    assert "/bus" in str(lost.value)
    assert "secret" not in str(lost.value)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_refused_names_url_and_remedy(recorder: type[Recorder], name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"ws://{name}:{unused.getsockname()[1]}"
    with pytest.raises(ConnectionLost, match=f"{url}: nothing listens there; start the broker"):
        await websocket_opener(url)(recorder())


async def test_unknown_name(recorder: type[Recorder]) -> None:
    with pytest.raises(ConnectionLost, match=r"the name no-such-host\.invalid is not known"):
        await websocket_opener("ws://no-such-host.invalid:1")(recorder())


async def test_no_answer(recorder: type[Recorder]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.1 s"):
            await websocket_opener(url, open_timeout=0.1)(recorder())


async def test_another_kind_of_server(recorder: type[Recorder]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n")
        writer.write(next(answers))
        writer.close()

    answers = iter(
        [b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", b"SSH-2.0-OpenSSH_9.0\r\n", b""]
    )
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    opener = websocket_opener(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(ConnectionLost, match="HTTP 404: nope; check that it is an ionbus broker"):
        await opener(recorder())
    for _ in range(2):
        with pytest.raises(ConnectionLost, match=r"check the port|check the address"):
            await opener(recorder())
    server.close()


async def test_a_websocket_server_that_is_no_broker(recorder: type[Recorder]) -> None:
    async with websockets.serve(lambda peer: peer.wait_closed(), "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConnectionLost, match=r"not ionbus\.v1"):
            await websocket_opener(url)(recorder())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "127.0.0.1:80", "ws://", "ws://user:pw@localhost", "ws://x:port"]
)
def test_misspelt_urls(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        websocket_opener(url)


async def test_cancelled_attempt_leaves_no_socket(recorder: type[Recorder]) -> None:
    gone = asyncio.Event()

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        try:
            await reader.read()
            await reader.read()
        finally:
            gone.set()
            writer.close()

    arrived = asyncio.Event()
    server = await asyncio.start_server(wait_for_end, "127.0.0.1", 0)
    attempt = asyncio.ensure_future(
        websocket_opener(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")(recorder())
    )
    await arrived.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    async with asyncio.timeout(5):
        await gone.wait()
    server.close()


# TLS.


@pytest.fixture
def certificate() -> Certificate:
    path = Path(__file__).with_name("localhost.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def test_tls(accepted: type[Accepted], recorder: type[Recorder], certificate: Certificate) -> None:
    broker, client = accepted(echo=True), recorder()
    server = await serve_websocket("0.0.0.0", 0, broker, ssl=certificate[0], hosts=["localhost"])
    url = f"wss://localhost:{server.port}"
    opened = await websocket_opener(url, ssl=certificate[1])(client)
    opened.channel.send(b"hello")
    await client.until(lambda: client.frames)
    opened.channel.close()
    await broker.receivers[0].end()
    with pytest.raises(ConnectionLost, match=r"certificate is trusted"):
        await websocket_opener(url)(recorder())
    with pytest.raises(ConnectionLost, match=r"wss://|check the address"):
        await websocket_opener(f"ws://localhost:{server.port}")(recorder())
    server.close()
    await server.wait_closed()


# Secrets.


async def test_frames_are_never_logged(
    serve: Serve, recorder: type[Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server, broker = await serve()
    client = recorder()
    opened = await websocket_opener(server.url)(client)
    opened.channel.send(b"a secret token")
    await broker.count(1)
    await broker.receivers[0].until(lambda: broker.receivers[0].frames)
    assert "secret" not in caplog.text
