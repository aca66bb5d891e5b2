"""Where a broker is reached: its listeners, from URLs to running servers."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ionbus.broker.access import Access
from ionbus.channels.stdio import Stdio, StdioServer, serve_stdio, take_over_stdio
from ionbus.channels.websocket_server import WebSocketServer, serve_websocket
from ionbus.contract.builtin import Ionbus, WindowEndpoint, WindowOrigin
from ionbus.dispatch.context import Context
from ionbus.dispatch.handlers import Handler, make_handler, unhandled
from ionbus.endpoint_file import EndpointFile

if TYPE_CHECKING:
    from ionbus.broker.broker import Broker
    from ionbus.broker.serving import Serving

STDIO = "stdio:"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker is reached, and what a client shows to be let in.

    Args:
        url: with the real port.
        token: None where `authenticate` decides, or where nobody else can open a channel.
    """

    url: str
    token: str | None = field(repr=False)


class Listening:
    """The listeners of one `serve`: an async context manager.

    Args:
        broker: what is served.
        urls: where.
        access: who is let in.
        launch_token: what the parent shows on stdio; None: what it gave in IONBUS_TOKEN, if it did.
        endpoint_file: where to write the first WebSocket's URL and token.
        origins: for WebSocket.
        hosts: for WebSocket.
        ssl: for `wss://`.
        grace: seconds that handlers have to end.
        stdio: descriptors that were taken over before.

    Raises:
        TypeError: a call or stream has no handler.
        ValueError: a URL is none that can be served.
    """

    def __init__(
        self,
        broker: Broker[Any],
        urls: Sequence[str],
        *,
        access: Access,
        launch_token: str | None = None,
        endpoint_file: str | os.PathLike[str] | None = None,
        origins: Collection[str] = (),
        hosts: Collection[str] = (),
        ssl: tls.SSLContext | None = None,
        grace: float = 5.0,
        stdio: Stdio | None = None,
    ) -> None:
        missing = unhandled(broker.contracts, broker.handled)
        if missing:
            raise TypeError(
                f"these have no handler, so that the broker cannot be served: {', '.join(missing)}"
            )
        for url in urls:
            if url != STDIO:
                _host_and_port(url)
                if url.startswith("wss:") and ssl is None:
                    raise ValueError(
                        f"{url!r} needs a certificate: pass `ssl`, an ssl.SSLContext, or serve ws://"
                    )
        if endpoint_file is not None and not any(url != STDIO for url in urls):
            raise ValueError(
                "endpoint_file= tells where a WebSocket is, and none is served; add ws://127.0.0.1:0"
            )
        self.input_over = asyncio.Event()
        """Set when the pipe to the parent is over."""
        self.endpoints: list[Endpoint] = []
        self._broker = broker
        self._urls = urls
        self._access = access
        self._launch_token = launch_token
        self._file = None if endpoint_file is None else EndpointFile(endpoint_file)
        self._origins = origins
        self._hosts = hosts
        self._ssl = ssl
        self._grace = grace
        self._stdio = stdio
        self._servers: list[WebSocketServer | StdioServer] = []
        self._window_server: WebSocketServer | None = None
        self._window_lock = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> list[Endpoint]:
        has_stdio = STDIO in self._urls
        if has_stdio:
            os.environ.pop("IONBUS_LAUNCH", None)
            told = os.environ.pop("IONBUS_TOKEN", None)
            self._launch_token = self._launch_token or told
            self._stdio = self._stdio or take_over_stdio()
        self._stack.push_async_callback(self._close)
        try:
            serving = await self._stack.enter_async_context(self._broker.opened(self._grace))
            if has_stdio:
                serving.builtin[Ionbus.endpoint.name] = self._window_handler(serving)
                serving.builtin[Ionbus.release.name] = _release_handler(serving)
            for url in self._urls:
                self.endpoints.append(await self._start(url, serving))
            if self._file is not None:
                first = next(endpoint for endpoint in self.endpoints if endpoint.url != STDIO)
                self._file.write(first.url, first.token)
                self._stack.callback(self._file.remove)
        except BaseException:
            await self._stack.aclose()
            raise
        return self.endpoints

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self, url: str, serving: Serving) -> Endpoint:
        if url == STDIO:
            authenticate, rights_of, token = self._access.from_parent(self._launch_token)
            accept = serving.accept(authenticate, rights_of)
            pipe = await serve_stdio(accept, self.input_over.set, stdio=self._stdio)
            self._servers.append(pipe)
            return Endpoint(url, token)
        authenticate, rights_of, token = self._access.from_anywhere()
        host, port = _host_and_port(url)
        server = await serve_websocket(
            host,
            port,
            serving.accept(authenticate, rights_of),
            origins=self._origins,
            hosts=self._hosts,
            ssl=self._ssl if url.startswith("wss:") else None,
            limits=serving.limits,
        )
        self._servers.append(server)
        return Endpoint(server.url, token)

    def _window_handler(self, serving: Serving) -> Handler:
        async def endpoint(request: WindowOrigin | None, ctx: Context) -> WindowEndpoint:
            async with self._window_lock:
                if self._window_server is None:
                    # Nobody gets in here but with a one-use token, which the session's carrier looks at first.
                    server = await serve_websocket(
                        "127.0.0.1", 0, serving.accept(_nobody), limits=serving.limits
                    )
                    self._window_server = server
                    self._servers.append(server)
            request = request or WindowOrigin(origin="file://")
            self._window_server.origins |= {request.origin.lower()}
            token = serving.tokens.mint(ctx.principal, serving.loop.time(), request.roles)
            return WindowEndpoint(url=self._window_server.url, token=token)

        return make_handler(Ionbus.endpoint, endpoint)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for server in self._servers:
            await server.wait_closed()


def _release_handler(serving: Serving) -> Handler:
    async def release(tokens: list[str]) -> None:
        for token in tokens:
            serving.release(token)

    return make_handler(Ionbus.release, release)


def _nobody(_: str | None) -> None:
    return None


def _host_and_port(url: str) -> tuple[str, int]:
    if not isinstance(url, str):
        raise TypeError(f"serve() takes URLs, as ws://127.0.0.1:0, not {url!r}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL to serve at: {error}") from None
    if parts.scheme not in ("ws", "wss") or not host or parts.path.strip("/") or parts.query:
        raise ValueError(f"{url!r} is no URL to serve at; it is ws://127.0.0.1:0, wss://host:port or stdio:")
    return host, port if port is not None else (443 if parts.scheme == "wss" else 80)
