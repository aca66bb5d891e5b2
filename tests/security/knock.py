"""Opening handshakes written by hand: what a browser, a proxy or an attacker may send."""

from __future__ import annotations

import asyncio
import base64
import ssl


def upgrade(*headers: str, target: str = "/", method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A WebSocket's opening handshake with these headers besides those of the upgrade itself."""
    lines = [
        f"{method} {target} {version}",
        *headers,
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: ionbus.v1",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def knock(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """The status and the text of the answer; 0 where the connection was closed without one."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
    )
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, ""
            body = b"" if b" 101 " in head else await reader.read()
    finally:
        writer.close()
    return int(head.split()[1]), (head + body).decode("latin-1")
