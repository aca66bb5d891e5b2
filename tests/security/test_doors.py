"""Who may open a WebSocket at all: Host against DNS rebinding, Origin against other pages, loopback against other machines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ionbus import Broker
from ionbus.generated.protocol import Limits
from security.knock import knock, upgrade
from security.vault import make_vault


@dataclass
class Door:
    broker: Broker
    port: int

    async def status(self, *headers: str, target: str = "/") -> int:
        filled = [header.replace("PORT", str(self.port)) for header in headers]
        return (await knock(self.port, upgrade(*filled, target=target)))[0]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    broker, _ = make_vault()
    async with broker.serve(
        "ws://127.0.0.1:0", origins=["https://app.example", "http://[2001:db8::1]:8080"]
    ) as (end,):
        yield Door(broker, int(end.url.rpartition(":")[2]))
        assert broker.sessions == []


GOOD = "Host: 127.0.0.1:PORT"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:PORT", "localhost:PORT", "LocalHost:PORT", "[::1]:PORT", "  127.0.0.1:PORT\t"]
)
async def test_our_own_names_are_hosts(door: Door, host: str) -> None:
    assert await door.status(f"Host: {host}") == 101


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",  # DNS rebinding: a name of the attacker's that leads to 127.0.0.1
        "evil.example:PORT",
        "127.0.0.1.evil.example:PORT",
        "localhost.evil.example:PORT",
        "evil-localhost:PORT",
        "localhost.:PORT",  # the trailing dot of a fully qualified name
        "127.0.0.1.:PORT",
        "127.0.0.1",  # another port's page
        "localhost:80",
        "127.0.0.1:0PORT",
        "127.0.0.1:PORT0",
        "127.0.0.1:+PORT",
        "127.0.0.1:",
        ":PORT",
        "127.1:PORT",  # other spellings of the address
        "0x7f.0.0.1:PORT",
        "2130706433:PORT",
        "017700000001:PORT",
        "0.0.0.0:PORT",
        "127.0.0.2:PORT",
        "[::]:PORT",
        "[::ffff:127.0.0.1]:PORT",
        "[0:0:0:0:0:0:0:1]:PORT",
        "[::1%25lo]:PORT",
        "::1:PORT",
        "user@127.0.0.1:PORT",  # userinfo, paths, lists
        "127.0.0.1:PORT@evil.example",
        "http://127.0.0.1:PORT",
        "127.0.0.1:PORT/",
        "127.0.0.1:PORT#evil.example",
        "127.0.0.1:PORT?evil.example",
        "127.0.0.1:PORT, evil.example",
        "evil.example, 127.0.0.1:PORT",
        "127.0.0.1:PORT evil.example",
        "127.0.0.%31:PORT",
        "\uff1127.0.0.1:PORT".encode().decode("latin-1"),  # a digit that only looks like one
        "loca\xadlhost:PORT",
    ],
)  # fmt: skip
async def test_every_other_name_is_misdirected(door: Door, host: str) -> None:
    assert await door.status(f"Host: {host}") in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [GOOD, GOOD],
        [GOOD, "Host: evil.example"],
        ["Host: evil.example", GOOD],
        [GOOD, "HOST: evil.example"],
        ["Host: evil.example", "X-Forwarded-Host: 127.0.0.1:PORT", "Forwarded: host=127.0.0.1:PORT"],
    ],
    ids=["none", "twice", "good, then bad", "bad, then good", "in other letters", "forwarded"],
)
async def test_there_is_exactly_one_host(door: Door, headers: list[str]) -> None:
    assert await door.status(*headers) == 421


@pytest.mark.parametrize(
    "header",
    ["Host : evil.example", " Host: evil.example", "Host: evil.example\n", "Host: 127.0.0.1\x00"],
    ids=["a space before the colon", "folded", "a bare line feed", "a zero byte"],
)
async def test_headers_that_parsers_disagree_about_are_refused(door: Door, header: str) -> None:
    assert await door.status(GOOD, header) in (0, 400)


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:PORT", "http://localhost:PORT", "HTTP://LOCALHOST:PORT", "http://[::1]:PORT",
     "https://app.example", "https://APP.example", "http://[2001:db8::1]:8080"],
)  # fmt: skip
async def test_our_own_pages_and_those_that_were_named_may_connect(door: Door, origin: str) -> None:
    assert await door.status(GOOD, f"Origin: {origin}") == 101


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://app.example.",
        "https://app.example:443",  # a browser leaves the default port out
        "https://app.example:8443",
        "http://app.example",
        "https://app.example/",
        "https://app.example@evil.example",
        "https://evil.example#https://app.example",
        "https://evil.example https://app.example",
        "https://app.example, https://evil.example",
        "http://localhost",  # a page of another program on this machine
        "http://localhost:1",
        "http://127.0.0.1:PORT0",
        "https://127.0.0.1:PORT",
        "ws://127.0.0.1:PORT",
        "http://127.0.0.1.:PORT",
        "http://[2001:DB8::2]:8080",
        "http://[2001:db8::1]",
        "null",  # any sandboxed frame, any data: page
        "NULL",
        "file://",  # any page that was saved
        "file:///",
        "about:blank",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "*",
        "",
    ],
)  # fmt: skip
async def test_pages_of_other_origins_may_not(door: Door, origin: str) -> None:
    assert await door.status(GOOD, f"Origin: {origin}") == 403


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: https://app.example", "Origin: https://app.example"],
        ["Origin: https://app.example", "Origin: http://evil.example"],
        ["Origin: http://evil.example", "Origin: https://app.example"],
        ["Origin: http://evil.example", "Sec-WebSocket-Origin: https://app.example"],
        ["Origin: http://evil.example", "Referer: https://app.example/"],
    ],
    ids=["twice", "good, then bad", "bad, then good", "the old header", "the referer"],
)
async def test_there_is_at_most_one_origin(door: Door, headers: list[str]) -> None:
    assert await door.status(GOOD, *headers) == 403


@pytest.mark.parametrize("origin", ["null", "file://"])
async def test_null_and_file_are_let_in_where_they_are_named_and_by_no_other_name(origin: str) -> None:
    broker, _ = make_vault()
    async with broker.serve("ws://127.0.0.1:0", origins=[origin]) as (end,):
        door = Door(broker, int(end.url.rpartition(":")[2]))
        assert await door.status(GOOD, f"Origin: {origin}") == 101
        for other in {"null", "file://", "http://null", "file://evil.example"} - {origin}:
            assert await door.status(GOOD, f"Origin: {other}") == 403


async def test_both_are_checked(door: Door) -> None:
    assert await door.status("Host: evil.example", "Origin: http://127.0.0.1:PORT") == 421
    assert await door.status("Host: evil.example", "Origin: http://evil.example") == 421


@pytest.mark.parametrize("target", ["/?token=x", "//evil.example/", "http://evil.example/", "*", "/../.."])
async def test_the_path_decides_nothing(door: Door, target: str) -> None:
    assert await door.status("Host: evil.example", target=target) in (400, 421)
    assert await door.status(GOOD, "Origin: http://evil.example", target=target) in (400, 403)


async def test_an_answer_says_nothing_to_a_page_that_may_not_ask(door: Door) -> None:
    """No header lets another origin read it, and it is no page that a browser would run."""
    port = door.port
    _, refused = await knock(
        port, upgrade(f"Host: 127.0.0.1:{port}", "Origin: http://evil.example/<script>alert(1)</script>")
    )
    _, plain = await knock(port, f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    for answer in (refused, plain):
        assert "access-control-" not in answer.lower()
        assert "content-type: text/plain" in answer.lower()
        assert "set-cookie" not in answer.lower()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.0\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 1000000000\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["HTTP/1.0", "POST", "a long header", "many headers", "a long path", "zeros", "HTTP/2"],
)
async def test_what_is_no_handshake_is_closed(door: Door, request_bytes: bytes) -> None:
    status, _ = await knock(door.port, request_bytes.replace(b"PORT", str(door.port).encode()))
    assert status == 0 or 400 <= status < 600


async def test_a_handshake_that_never_ends_is_given_up_and_bounded_in_number() -> None:
    broker, _ = make_vault(Limits(handshake_ms=400, max_greeting_channels=3))
    async with broker.serve("ws://127.0.0.1:0") as (end,):
        port = int(end.url.rpartition(":")[2])
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nHost: ")
        status, text = await knock(port, upgrade(f"Host: 127.0.0.1:{port}"))
        assert status == 503
        assert "try again later" in text
        async with asyncio.timeout(5):
            for reader, writer in slow:
                assert await reader.read() == b""
                writer.close()
        assert (await knock(port, upgrade(f"Host: 127.0.0.1:{port}")))[0] == 101


@pytest.mark.parametrize("url", ["ws://0.0.0.0:0", "ws://[::]:0", "ws://192.0.2.1:0", "ws://example.com:0"])
async def test_other_machines_are_served_with_tls_or_not_at_all(url: str) -> None:
    broker, _ = make_vault()
    with pytest.raises(ValueError, match=r"reachable from other machines: pass `ssl`"):
        async with broker.serve(url):
            pass
    assert broker.sessions == []


def bound_addresses(port: int) -> set[str]:
    """What is listened on at a port of this machine, as the system says, in hexadecimal digits."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        row[1].partition(":")[0]
        for row in rows
        if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port
    }


@pytest.mark.parametrize("url", ["ws://localhost:0", "ws://127.0.0.1:0"])
async def test_only_this_machine_reaches_what_is_served_without_tls(url: str) -> None:
    broker, _ = make_vault()
    async with broker.serve(url) as (end,):
        assert bound_addresses(int(end.url.rpartition(":")[2])) == {"0100007F"}
