"""The client's end of a WebSocket (docs/protocol.md, section 2.1)."""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from ionbus.channels.base import Opened, Opener, Receiver
from ionbus.channels.websocket import WebSocketChannel, is_loopback, quiet
from ionbus.endpoint_file import read_endpoint_file
from ionbus.errors import ConnectionLost, IonbusError, printable
from ionbus.generated.protocol import SUBPROTOCOL, Limits

Source = str | None | Callable[[], str | Awaitable[str | None] | None]
"""A text, or a function, sync or async, that is asked for it at each attempt."""

OPEN_TIMEOUT: Final = 10.0
"""Seconds that connecting, TLS and the opening handshake may take together."""


log = logging.getLogger("ionbus")


class _ClientChannel(WebSocketChannel):
    """One socket that we connected."""

    _protocol: ClientProtocol
    _least_bound = Limits().max_frame_bytes  # WELCOME and the first large frame may come in one read

    def __init__(self, uri: WebSocketURI, receiver: Receiver) -> None:
        super().__init__(ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)], logger=quiet))
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.greeted.add_done_callback(lambda greeted: greeted.cancelled() or greeted.exception())
        self._client = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.greeted.done():
            self.greeted.set_exception(
                self._protocol.handshake_exc or exc or EOFError("closed before it answered")
            )

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._protocol.handshake_exc is not None and not self.greeted.done():
            self.greeted.set_exception(self._protocol.handshake_exc)

    def _greet(self, event: Request | Response) -> None:
        if self._protocol.state is not State.OPEN or self.greeted.done():
            return
        if self._protocol.subprotocol != SUBPROTOCOL:
            self.greeted.set_exception(_NotIonbus(f"it speaks WebSocket, but not {SUBPROTOCOL}"))
            return
        self._receiver = self._client
        self.greeted.set_result(None)

    def abort(self) -> None:
        """Give up."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()


class _NotIonbus(Exception):
    """Somebody else listens there."""


def websocket_opener(
    url: Source,
    token: Source = None,
    *,
    ssl: ssl.SSLContext | None = None,
    open_timeout: float = OPEN_TIMEOUT,
) -> WebSocketOpener:
    """Make an opener that connects to a broker over WebSocket.

    Args:
        url: `ws://` or `wss://`.
        token: goes into HELLO, never into the URL.
        ssl: for `wss://` with a certificate that the system does not trust by itself.
        open_timeout: seconds for connecting, TLS and the opening handshake together.

    Returns:
        The opener. It raises `ConnectionLost`, naming the URL and what to do.

    Raises:
        ValueError: `url` is a text, and no such URL; `token` cannot travel.
        TypeError: `token` is neither a text nor a function.
    """
    if isinstance(url, str):
        _parse(url)
    if isinstance(token, str):
        try:
            token.encode()
        except UnicodeEncodeError:
            raise ValueError("the token holds a lone surrogate, which cannot travel") from None
    elif token is not None and not callable(token):
        raise TypeError(f"token is a text or a function that gives one, not {type(token).__name__}")

    return WebSocketOpener(url, token, ssl, open_timeout)


class WebSocketOpener:
    """What `websocket_opener` makes."""

    def __init__(self, url: Source, token: Source, tls: ssl.SSLContext | None, open_timeout: float) -> None:
        self._url = url
        self._token = token
        self._tls = tls
        self._open_timeout = open_timeout
        self._elsewhere: str | None = None
        self._was_secure = True  # until a channel without TLS was open: then there is nothing to give away

    def redirect(self, url: str) -> None:
        """Try there next: a broker that stops said so. An attempt there that fails leads back to the old address.

        Not followed where it would show the token to others: without TLS only to this machine, and never after TLS.
        """
        uri: WebSocketURI | None = None
        with suppress(ValueError):
            uri = _parse(url)
        if uri is not None and (uri.secure or (not self._was_secure and is_loopback(uri.host))):
            self._elsewhere = url
        else:
            log.warning(
                "the broker says to go to %s, which is not followed: it is not safe", printable(_shown(url))
            )

    async def __call__(self, receiver: Receiver) -> Opened:
        """Open a channel."""
        where = self._elsewhere or await _ask("url", self._url)
        if where is None:
            raise ConnectionLost("no URL to connect to: pass one to connect, or set IONBUS_URL")
        try:
            uri = _parse(where)
        except ValueError as error:
            raise ConnectionLost(str(error)) from None
        secret = await _ask("token", self._token)
        try:
            async with asyncio.timeout(self._open_timeout):
                channel = await _connect(uri, receiver, self._tls)
        except Exception as error:  # whatever it was: there is no channel, and the text says why
            self._elsewhere = None
            raise ConnectionLost(f"{_shown(where)}: {_explain(error, uri, self._open_timeout)}") from error
        self._was_secure = uri.secure
        return Opened(channel, secret)


def endpoint_file_opener(
    path: str | os.PathLike[str],
    token: Source = None,
    *,
    ssl: ssl.SSLContext | None = None,
) -> Opener:
    """Make an opener that reads at each attempt where a broker is, so that it finds one that was started anew.

    Args:
        path: what the broker was given as `endpoint_file`.
        token: instead of the one in the file.
        ssl: as for `websocket_opener`.

    Returns:
        The opener. It raises `ConnectionLost`, also where the file is not the user's own and nobody else's.
    """

    async def open_endpoint(receiver: Receiver) -> Opened:
        url, told = read_endpoint_file(path)
        try:
            opener = websocket_opener(url, told if token is None else token, ssl=ssl)
        except ValueError as error:
            raise ConnectionLost(f"{os.fspath(path)}: it holds no endpoint: {error}") from None
        return await opener(receiver)

    return open_endpoint


async def _ask(name: str, source: Source) -> str | None:
    if source is None or isinstance(source, str):
        return source
    try:
        answer = source()
        text = await answer if inspect.isawaitable(answer) else answer
        _ = text is None or text.encode()  # what is no text, or holds a lone surrogate, cannot be sent
    except IonbusError:
        raise
    except Exception as error:  # the user's own function: it is asked again at the next attempt
        raise ConnectionLost(
            f"the function that gives the {name} failed: {type(error).__name__}: {error}"
        ) from error
    return text


def _parse(url: str) -> WebSocketURI:
    if "@" in urlsplit(url).netloc:
        raise ValueError("a broker's URL holds no user name and no password; pass `token` instead")
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError) as error:
        why = error.msg if isinstance(error, InvalidURI) else error  # whose text would repeat all of the URL
        raise ValueError(f"{_shown(url)!r} is no URL of a broker, as ws://127.0.0.1:8765: {why}") from None


def _shown(url: str) -> str:
    """An address without what may hold a secret."""
    return url.partition("#")[0].partition("?")[0]


async def _connect(uri: WebSocketURI, receiver: Receiver, tls: ssl.SSLContext | None) -> _ClientChannel:
    context = (tls or ssl.create_default_context()) if uri.secure else None
    _, channel = await asyncio.get_running_loop().create_connection(
        lambda: _ClientChannel(uri, receiver), uri.host, uri.port, ssl=context
    )
    try:
        await channel.greeted
    except BaseException:
        channel.abort()
        raise
    return channel


def _explain(error: Exception, uri: WebSocketURI, open_timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {open_timeout:g} s; check that the broker runs and that no firewall is in between"
    refused_by_all = f"[Errno {errno.ECONNREFUSED}]" in str(error)  # where the name has several addresses
    if isinstance(error, ConnectionRefusedError) or refused_by_all:
        return "nothing listens there; start the broker, or check the port"
    if isinstance(error, socket.gaierror):
        return f"the name {uri.host} is not known; check it"
    if isinstance(error, ssl.SSLError) or (uri.secure and isinstance(error, ConnectionResetError)):
        return f"TLS failed ({str(error) or 'the connection was closed'}); check that the broker serves wss:// there, and that its certificate is trusted"
    if isinstance(error, InvalidStatus):
        body = bytes(error.response.body or b"").decode(errors="replace").strip().partition("\n")[0]
        status = error.response.status_code
        refused = f"refused with HTTP {status}" + (f": {body[:300]}" if body else "")
        known = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST,
                 HTTPStatus.SERVICE_UNAVAILABLE}  # fmt: skip
        return refused if status in known else f"{refused}; check that it is an ionbus broker"
    if isinstance(error, OSError):
        return f"cannot connect ({error}); check the address"
    return f"no ionbus broker answers there ({error}); check the port, and ws:// or wss://"
