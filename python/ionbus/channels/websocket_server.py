"""The broker's end of a WebSocket: who may open one, and the server that listens (docs/protocol.md, section 2.1)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from websockets.exceptions import NegotiationError
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ionbus.channels.base import Accept, PeerIdentity
from ionbus.channels.websocket import WebSocketChannel, is_loopback, quiet
from ionbus.channels.websocket_frames import header, masked_size, whole_message
from ionbus.generated.protocol import SUBPROTOCOL, Limits

COPIED_BYTES: Final = 16_384
"""To write two pieces takes longer than to put so many bytes together."""

_HEAD_ENDS: Final = b"\r\n\r\n"
_ORIGIN: Final = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#\s]*")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]+)?")


class WebSocketServer:
    """A listening socket and the channels that came through it. `serve_websocket` makes one."""

    def __init__(self, accept: Accept, limits: Limits) -> None:
        self.accept = accept
        self.limits = limits
        self.port = 0
        """The port that it listens on: the real one where 0 was asked for."""
        self.url = ""
        """What a client on this machine connects to."""
        self.hosts: frozenset[str] = frozenset()
        self.origins: frozenset[str] = frozenset()
        self._listener: asyncio.Server | None = None
        self._channels: set[_ServerChannel] = set()
        self._greeting: set[_ServerChannel] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None, hosts: Collection[str]) -> None:
        """Bind, work out which names and origins are ours, and begin to accept."""
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: _ServerChannel(self), host, port, ssl=tls, start_serving=False,
            ssl_handshake_timeout=self.limits.handshake_ms / 1000 if tls else None,
        )  # fmt: skip
        self.port = self._listener.sockets[0].getsockname()[1]
        scheme, default_port = ("s", 443) if tls else ("", 80)
        names = {f"[{host}]" if ":" in host else host.lower(), *(each.lower() for each in hosts)}
        if is_loopback(host):
            names |= {"localhost", "127.0.0.1", "[::1]"}
        with_port = {name if _HOST.sub(r"\2", name) else f"{name}:{self.port}" for name in names}
        self.hosts = frozenset(with_port | {name.removesuffix(f":{default_port}") for name in with_port})
        self.origins |= {f"http{scheme}://{name}" for name in self.hosts}
        self.url = f"ws{scheme}://{'[' + host + ']' if ':' in host else host}:{self.port}"
        await self._listener.start_serving()

    def joined(self, channel: _ServerChannel) -> bool:
        """Count a new socket; False where too many are in their handshake (docs/protocol.md, section 9)."""
        self._channels.add(channel)
        self._is_empty.clear()
        self._greeting = {each for each in self._greeting if each.is_greeting}
        if len(self._greeting) >= self.limits.max_greeting_channels:
            return False
        self._greeting.add(channel)
        return True

    def left(self, channel: _ServerChannel) -> None:
        """Forget a socket."""
        self._greeting.discard(channel)
        self._channels.discard(channel)
        if not self._channels:
            self._is_empty.set()

    def close(self) -> None:
        """Listen no more, and end the channels that are still open; whoever listens to one is told."""
        if self._listener is not None:
            self._listener.close()
        for channel in list(self._channels):
            channel.stop()

    async def wait_closed(self) -> None:
        """Wait until the last socket is closed: at most as long as a closing handshake may take."""
        await self._is_empty.wait()


class _ServerChannel(WebSocketChannel):
    """One socket that was accepted."""

    _protocol: ServerProtocol

    def __init__(self, server: WebSocketServer) -> None:
        super().__init__(ServerProtocol(select_subprotocol=_select_subprotocol, logger=quiet))
        self._server = server
        self._unparsed = 0
        """Bytes of which websockets has made no frame yet, or more than those: 0 means that a frame begins with the next one."""
        self.max_frame_bytes = server.limits.max_greeting_bytes

    @property
    def is_greeting(self) -> bool:
        """Whether its handshake and its greeting are under way: the link raises the bound on frames after them."""
        return self.max_frame_bytes <= self._server.limits.max_greeting_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._server.joined(self):
            self._give_up_after(self._server.limits.handshake_ms / 1000)
        else:
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are in their handshake; try again later"
            )
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is not None and not self._unparsed and self._partial is None and not self._is_over:
            message = whole_message(data, self._max_frame_bytes)
            if message is not None:
                self._is_corked = True
                try:
                    receiver.frame_received(message)
                finally:
                    self._is_corked = False
                    self._flush()
                return
        self._unparsed += len(data)
        super().data_received(data)
        if receiver is None and data.startswith(b"GET ") and data.find(_HEAD_ENDS) == len(data) - 4:
            self._unparsed = 0  # the request came with one read, and nothing behind it

    def _take(self, frame: Frame) -> None:
        self._unparsed -= masked_size(len(frame.data))
        super()._take(frame)

    def _put(self, frame: bytes) -> None:
        # Servers do not mask: the frame leaves as it is, behind its header. A large one is not copied for that.
        size = len(frame)
        if size > COPIED_BYTES:
            self._unwritten += (header(size), frame)
        else:
            self._unwritten.append(header(size) + frame)

    def stop(self) -> None:
        """The server closes."""
        if not self._is_over:
            self._shut(CloseCode.GOING_AWAY, "stopping")
            self._end("connection_lost", "the server stopped")

    def _greet(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        if (
            self._protocol.eof_sent
        ):  # it did not wait for an answer, and what it sent behind its request is wrong already
            if self._transport is not None:
                self._transport.abort()
            return
        refusal = self._why_not(event)
        if refusal is not None:
            self._refuse(*refusal)
            return
        response = self._protocol.accept(event)
        if response.status_code == HTTPStatus.UPGRADE_REQUIRED:
            self._refuse(
                HTTPStatus.UPGRADE_REQUIRED,
                f"this is an ionbus broker: it speaks WebSocket with the subprotocol {SUBPROTOCOL}.\n"
                f'Connect a client to it: connect("{self._server.url}", token=...) in Python, '
                f'connect({{ url: "{self._server.url}", token }}) in TypeScript',
            )
            return
        self._protocol.send_response(response)
        if self._protocol.state is State.OPEN:
            if self._timer is not None:
                self._timer.cancel()
            self._receiver = self._server.accept(self, self._identity(event))

    def _why_not(self, request: Request) -> tuple[HTTPStatus, str] | None:
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1 or hosts[0].lower() not in self._server.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, (
                f"the Host {', '.join(hosts) or '(none)'} is not this broker's; "
                "if it is, name it in `hosts` where the broker is served"
            )
        origins = request.headers.get_all("Origin")
        if len(origins) > 1 or (origins and origins[0].lower() not in self._server.origins):
            return HTTPStatus.FORBIDDEN, (
                f"pages of the origin {', '.join(origins)} may not connect; "
                "if they should, name it in `origins` where the broker is served"
            )
        return None

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        response = self._protocol.reject(status, f"ionbus: {text}.\n")
        if status is HTTPStatus.UPGRADE_REQUIRED:
            response.headers["Upgrade"] = "websocket"
        self._protocol.send_response(response)

    def _identity(self, request: Request) -> PeerIdentity:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return PeerIdentity(
            origin=request.headers.get("Origin"),
            details={"address": f"{peer[0]}:{peer[1]}"} if isinstance(peer, tuple) else {},
        )


def _select_subprotocol(_: ServerProtocol, offered: Collection[Subprotocol]) -> Subprotocol:
    if SUBPROTOCOL not in offered:
        raise NegotiationError(f"the subprotocol must be {SUBPROTOCOL}, not {', '.join(offered) or '(none)'}")
    return Subprotocol(SUBPROTOCOL)


async def serve_websocket(
    host: str,
    port: int,
    accept: Accept,
    *,
    origins: Collection[str] = (),
    hosts: Collection[str] = (),
    ssl: ssl.SSLContext | None = None,
    limits: Limits | None = None,
) -> WebSocketServer:
    """Listen for WebSocket clients.

    Args:
        host: address to bind; loopback (`127.0.0.1`, `::1`, `localhost`) unless `ssl` is given.
        port: 0 takes a free one; see `WebSocketServer.port`.
        accept: called with each channel once its opening handshake is done.
        origins: pages that may connect besides the broker's own, as `https://example.com`; `null` and `file://` only if named.
        hosts: names besides the bound address by which clients reach it, as `example.com` or `example.com:443`.
        ssl: the certificate, for wss://.
        limits: handshake time, channels in their handshake, and frame size until the greeting is over.

    Raises:
        ValueError: `host` is not loopback and there is no `ssl`; an origin or a host name is misspelt.
        OSError: the address cannot be bound.
    """
    if not is_loopback(host) and ssl is None:
        raise ValueError(
            f"{host or 'every interface'} is reachable from other machines: pass `ssl` (an ssl.SSLContext with the broker's "
            "certificate) to serve wss://, or bind 127.0.0.1"
        )
    for origin in origins:
        if not _ORIGIN.fullmatch(origin.lower()):
            raise ValueError(f"{origin!r} is no origin; write it as https://example.com, file:// or null")
    for name in hosts:
        if not _HOST.fullmatch(name.lower()):
            raise ValueError(f"{name!r} is no host name; write it as example.com or example.com:443")
    server = WebSocketServer(accept, limits or Limits())
    server.origins = frozenset(origin.lower() for origin in origins)
    await server.listen("127.0.0.1" if host == "localhost" else host, port, ssl, hosts)
    return server
