"""wss://: a real certificate, checked by its name, and no way round it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ionbus import Broker, ConnectionLost, Endpoint, connect
from ionbus.channels.websocket_client import websocket_opener
from raw_client import Raw
from security.knock import knock, upgrade
from security.vault import Vault, make_vault
from workshop import eventually

HERE = Path(__file__).parent
CERTIFICATE = HERE.parent / "channels" / "localhost.pem"
OF_ANOTHER = HERE / "other.pem"
TOKEN = "the-token-of-this-test"


def server_context(certificate: Path = CERTIFICATE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_context(*trusted: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for each in trusted or (CERTIFICATE,):
        context.load_verify_locations(each)
    return context


@asynccontextmanager
async def served(url: str = "wss://127.0.0.1:0", certificate: Path = CERTIFICATE) -> AsyncIterator[Endpoint]:
    broker: Broker = make_vault()[0]
    async with broker.serve(url, token=TOKEN, ssl=server_context(certificate)) as (endpoint,):
        yield endpoint


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.url.rpartition(":")[2])


class Eavesdropper:
    """A server that speaks no TLS and keeps what it is sent; it answers with `answer`, or not at all."""

    def __init__(self, answer: bytes = b"") -> None:
        self.heard = b""
        self.port = 0
        self._answer = answer

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += await reader.read(65_536)
        writer.write(self._answer)
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Eavesdropper]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_client_and_a_broker_talk_over_tls(host: str) -> None:
    async with served() as endpoint:
        assert endpoint.url.startswith("wss://127.0.0.1:")
        url = f"wss://{host}:{port_of(endpoint)}"
        async with connect(url, token=TOKEN, ssl=client_context()) as bus:
            assert await bus.call(Vault.read) == "for everybody"


async def test_a_resume_is_over_tls_as_well() -> None:
    broker, _ = make_vault()
    async with (
        broker.serve("wss://127.0.0.1:0", token=TOKEN, ssl=server_context()) as (endpoint,),
        connect(endpoint.url, token=TOKEN, ssl=client_context()) as bus,
    ):
        outcomes: list[object] = []
        bus.on_state(lambda change: outcomes.append(change.outcome))
        broker.sessions[0].close_channel("stopping", "the test cuts it")
        await eventually(lambda: "resumed" in map(str, outcomes))
        assert await bus.call(Vault.read) == "for everybody"


async def test_other_machines_are_served_with_a_certificate_under_the_names_that_are_given() -> None:
    broker, _ = make_vault()
    async with broker.serve("wss://0.0.0.0:0", token=TOKEN, ssl=server_context(), hosts=["localhost"]) as (
        endpoint,
    ):
        port = port_of(endpoint)
        async with connect(f"wss://localhost:{port}", token=TOKEN, ssl=client_context()) as bus:
            assert await bus.call(Vault.read) == "for everybody"
        for host, status in ((f"localhost:{port}", 101), (f"evil.example:{port}", 421), ("localhost", 421)):
            assert (await knock(port, upgrade(f"Host: {host}"), client_context()))[0] == status
        for origin, status in ((f"https://localhost:{port}", 101), (f"http://localhost:{port}", 403)):
            assert (
                await knock(port, upgrade(f"Host: localhost:{port}", f"Origin: {origin}"), client_context())
            )[0] == status


@pytest.mark.parametrize(
    ("certificate", "trusted"),
    [(CERTIFICATE, OF_ANOTHER), (OF_ANOTHER, OF_ANOTHER), (OF_ANOTHER, CERTIFICATE)],
    ids=["unknown", "of another name", "unknown and of another name"],
)
async def test_a_certificate_that_is_not_the_brokers_is_refused(certificate: Path, trusted: Path) -> None:
    async with served(certificate=certificate) as endpoint:
        with pytest.raises(ConnectionLost, match=r"TLS failed .*certificate"):
            async with connect(
                f"wss://localhost:{port_of(endpoint)}", token=TOKEN, ssl=client_context(trusted)
            ):
                pass
        with pytest.raises(ConnectionLost, match=r"TLS failed .*certificate"):  # what the system trusts
            async with connect(f"wss://localhost:{port_of(endpoint)}", token=TOKEN):
                pass


# No way round it.


async def test_without_tls_nobody_gets_in_where_it_is_served() -> None:
    async with served() as endpoint:
        with pytest.raises(ConnectionLost):
            async with connect(f"ws://127.0.0.1:{port_of(endpoint)}", token=TOKEN):
                pass
        assert (await knock(port_of(endpoint), upgrade(f"Host: 127.0.0.1:{port_of(endpoint)}")))[0] == 0


async def test_a_client_of_wss_says_nothing_to_who_speaks_no_tls() -> None:
    async with Eavesdropper().listening() as spy:
        with pytest.raises(ConnectionLost):
            async with connect(f"wss://localhost:{spy.port}", token=TOKEN, ssl=client_context()):
                pass
        assert spy.heard[:2] == b"\x16\x03"  # TLS's own hello
        assert TOKEN.encode() not in spy.heard


async def test_it_does_not_fall_back_to_a_broker_without_tls() -> None:
    broker, seen = make_vault()
    async with broker.serve("ws://127.0.0.1:0", token=TOKEN) as (endpoint,):
        with pytest.raises(ConnectionLost, match="TLS failed"):
            async with connect(f"wss://localhost:{port_of(endpoint)}", token=TOKEN, ssl=client_context()):
                pass
        assert broker.sessions == []
        assert seen.calls == []


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 101])
async def test_a_redirection_to_ws_is_not_followed(status: int) -> None:
    async with Eavesdropper().listening() as spy:
        answer = f"HTTP/1.1 {status} X\r\nLocation: ws://127.0.0.1:{spy.port}/\r\nContent-Length: 0\r\n\r\n".encode()
        heard: list[bytes] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server_context())
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionLost):
                async with connect(f"wss://localhost:{port}", token=TOKEN, ssl=client_context()):
                    pass
        assert spy.heard == b""
        assert len(heard) == 1
        assert TOKEN.encode() not in heard[0]  # it is in HELLO, which a broker alone is sent


@pytest.mark.parametrize(
    ("elsewhere", "is_followed"),
    [
        ("ws://127.0.0.1:1", False),
        ("ws://localhost:1", False),
        ("ws://evil.example:1", False),
        ("wss://localhost:1", True),
    ],
)
async def test_after_tls_a_broker_that_stops_sends_nobody_where_there_is_none(
    elsewhere: str, is_followed: bool
) -> None:
    async with served() as endpoint:
        opener = websocket_opener(f"wss://localhost:{port_of(endpoint)}", TOKEN, ssl=client_context())
        opened = await opener(Raw())
        opener.redirect(elsewhere)
        if is_followed:
            with pytest.raises(ConnectionLost, match="localhost:1"):
                await opener(Raw())
        else:
            again = await opener(Raw())
            again.channel.close()
        opened.channel.close()


async def test_old_versions_of_tls_are_not_spoken() -> None:
    async with served() as endpoint:
        old = client_context()
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                "127.0.0.1", port_of(endpoint), ssl=old, server_hostname="localhost"
            )


@pytest.mark.parametrize("url", ["wss://127.0.0.1:0", "wss://0.0.0.0:0"])
def test_wss_needs_a_certificate(url: str) -> None:
    with pytest.raises(ValueError, match="needs a certificate: pass `ssl`"):
        make_vault()[0].serve(url)
