"""A TCP proxy on this machine whose connections fail: between real processes, at any byte, as often as a test says (docs/testing.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from ionbus.testing.dice import Dice
from ionbus.testing.faults import DIRECTIONS, Direction, Fate, Fault, Faults, Injected
from ionbus.testing.passage import Passage
from ionbus.testing.proxy_socket import ProxySocket

How = Literal["reset", "close"]
"""How a connection is lost: by RST, as when a process or a network dies, or by FIN, as when somebody closes it."""

Side = Literal["client", "broker"]


class FaultProxy:
    """Listens on a port of its own and passes everything on to a broker: `async with FaultProxy(endpoint.url) as proxy: connect(proxy.url, …)`.

    Clients connect to `url`. The broker sees its own address in `Host`, so that it lets them in. On `wss://` bytes pass
    as they are: there the broker has to be told of the proxy's name with `hosts=`, and what one read gives counts as a frame.

    Args:
        target: the broker's URL. `target` may be set anew later, for a broker that was started again.
        faults: what goes wrong by itself. A frame is a WebSocket frame, the HTTP head before it is the first.
        seed: of `FaultProxy.faults`, where `faults` is left out.
        on_connection: called with each connection before anything passes, to say at which byte something happens to it.

    Attributes:
        faults: knows the seed, and what has happened.
        connections: those that are open, oldest first.
    """

    def __init__(
        self,
        target: str,
        faults: Faults | None = None,
        *,
        seed: int | None = None,
        on_connection: Callable[[ProxyConnection], object] | None = None,
    ) -> None:
        self.target = target
        self.faults = faults or Faults(seed=seed)
        self._is_planned = faults is not None
        self.on_connection = on_connection
        self.connections: list[ProxyConnection] = []
        self._opened = 0
        self._is_down = False
        self._server: asyncio.Server | None = None
        self._port = 0
        self._dialling: set[asyncio.Task[None]] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __repr__(self) -> str:
        where = f"{self.url} -> " if self._port else ""
        return f"<FaultProxy {where}{self.target} {self.faults!r}>"

    @property
    def url(self) -> str:
        """What clients connect to."""
        if not self._port:
            raise RuntimeError("the proxy listens inside `async with` only")
        return urlsplit(self.target)._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    @property
    def seed(self) -> int:
        """What repeats a run."""
        return self.faults.seed

    @property
    def is_planned(self) -> bool:
        """Whether `faults` decide about each frame."""
        return self._is_planned

    @property
    def opened(self) -> int:
        """How many connections have come."""
        return self._opened

    # Commands; those on connections concern each that is open.

    def cut(self, *, how: How = "reset", after_bytes: int = 0, direction: Direction = "to_client") -> None:
        """Lose the connections; see `ProxyConnection.cut`."""
        for connection in tuple(self.connections):
            connection.cut(how=how, after_bytes=after_bytes, direction=direction)

    def stall(self, direction: Direction | None = None, *, after_bytes: int = 0) -> None:
        """Let nothing through; see `ProxyConnection.stall`."""
        for connection in tuple(self.connections):
            connection.stall(direction, after_bytes=after_bytes)

    def resume(self, direction: Direction | None = None) -> None:
        """End a stall: what waited goes on."""
        for connection in tuple(self.connections):
            connection.resume(direction)

    def half_open(
        self, keep: Side | None = None, *, after_bytes: int = 0, direction: Direction = "to_client"
    ) -> None:
        """Let nothing through, and tell not both ends; see `ProxyConnection.half_open`."""
        for connection in tuple(self.connections):
            connection.half_open(keep, after_bytes=after_bytes, direction=direction)

    def down(self) -> None:
        """The network is gone: lose all connections, and let none in until `up`."""
        self._is_down = True
        self.cut()

    def up(self) -> None:
        """The network is back."""
        self._is_down = False

    # Its life.

    async def __aenter__(self) -> Self:
        _address(self.target)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ProxySocket(self._accepted), "127.0.0.1", 0, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more, and reset what is open."""
        assert self._server is not None
        self._server.close()
        self._port = 0
        for connection in tuple(self.connections):
            connection.abandon()
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        await self._is_empty.wait()

    def _accepted(self, near: ProxySocket) -> None:
        if self._is_down or not self._port:
            near.reset()
            return
        self._opened += 1
        connection = ProxyConnection(self, near)
        self.connections.append(connection)
        self._is_empty.clear()
        if self.on_connection is not None:
            self.on_connection(connection)
        task = asyncio.get_running_loop().create_task(self._dial(connection), name=f"dial {connection!r}")
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, connection: ProxyConnection) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: ProxySocket(connection.reached), *_address(self.target)
            )
        except OSError:  # as where nothing listens: the client is told by its own socket
            connection.abandon()

    def left(self, connection: ProxyConnection) -> None:
        """A connection is over."""
        if connection in self.connections:
            self.connections.remove(connection)
        if not self.connections:
            self._is_empty.set()


class ProxyConnection:
    """One connection through a proxy: a socket to the client, and one to the broker.

    Attributes:
        number: 1 for the first of its proxy (and of its `Faults`).
        random: numbers from 0 to below 1 that depend on the seed and on `number` alone.
    """

    def __init__(self, proxy: FaultProxy, near: ProxySocket) -> None:
        self._proxy = proxy
        self._faults = faults = proxy.faults
        self.number = faults.joined(self)
        self.random = Dice(f"{faults.seed} {self.number} connection").random
        self._near = near
        self._far: ProxySocket | None = None
        self._is_half_open = False
        target = urlsplit(proxy.target)
        is_http = target.scheme == "ws"
        self._passages: dict[Direction, Passage] = {
            direction: Passage(
                faults.plan(self.number, direction) if proxy.is_planned else None,
                partial(self._fail, direction),
                partial(self._read, direction),
                host=target.netloc.encode() if is_http and direction == "to_broker" else None,
                is_http=is_http,
            )
            for direction in DIRECTIONS
        }
        near.join(self._passages["to_broker"], self._passages["to_client"], self._lost)
        self._passages["to_client"].open(near)

    def __repr__(self) -> str:
        return f"<ProxyConnection {self.number}>"

    def passed(self, direction: Direction) -> int:
        """How many bytes have gone on in a direction."""
        return self._passages[direction].passed

    # Commands. `after_bytes`: once so many bytes more have gone on in `direction`; 0: now.

    def cut(self, *, how: How = "reset", after_bytes: int = 0, direction: Direction = "to_client") -> None:
        """Lose the connection: exactly so many bytes arrive, then both ends are told.

        Args:
            how: by RST, or by FIN ("close").
            after_bytes: how many bytes go on before; 0: it is lost now.
            direction: which bytes are counted.
        """
        self._passages[direction].at(after_bytes, partial(self._lose, how, direction, "cut"))

    def stall(self, direction: Direction | None = None, *, after_bytes: int = 0) -> None:
        """Let nothing through in one direction, or in both, until `resume`; whoever sends is not read for long."""
        for each in DIRECTIONS if direction is None else (direction,):
            passage = self._passages[each]
            passage.at(after_bytes, passage.stall)

    def resume(self, direction: Direction | None = None) -> None:
        """End a stall: what waited goes on."""
        for each in DIRECTIONS if direction is None else (direction,):
            self._passages[each].resume()

    def half_open(
        self, keep: Side | None = None, *, after_bytes: int = 0, direction: Direction = "to_client"
    ) -> None:
        """Lose what is under way and all that comes later, and do not tell whoever is kept.

        Args:
            keep: whose socket stays open while the other's is reset; None: both stay.
            after_bytes: how many bytes go on before.
            direction: which bytes are counted.
        """
        self._passages[direction].at(after_bytes, partial(self._silence, keep, direction))

    def flip(self, direction: Direction, *, after_bytes: int, bit: int = 0) -> None:
        """Change one bit: of the byte that goes on after so many others."""
        passage = self._passages[direction]

        def flip_next() -> None:
            passage.flip_next(1 << bit % 8)
            self._note("flip", direction)

        passage.at(after_bytes, flip_next)

    def abandon(self) -> None:
        """Reset both sockets, whoever was told what."""
        self._end("reset", at_once=True)

    # For the proxy.

    def reached(self, far: ProxySocket) -> None:
        """The broker has taken the connection."""
        self._far = far
        far.join(self._passages["to_client"], self._passages["to_broker"], self._lost)
        if self._near.is_over or self._passages["to_broker"].is_dead:
            far.reset()
        else:
            self._passages["to_broker"].open(far)

    # Inside.

    def _lost(self, side: ProxySocket, error: Exception | None) -> None:
        """One of the sockets is gone."""
        other = self._far if side is self._near else self._near
        side.writes.kill()
        if other is not None and not self._is_half_open:
            if error is None:
                other.close_soon()
                side.reads.finish()
            else:
                side.reads.kill()
                other.reset()
        if self._near.is_over and (self._far is None or self._far.is_over):
            self._faults.left(self)
            self._proxy.left(self)

    def _fail(self, direction: Direction, passage: Passage, fate: Fate, frame: bytes) -> None:
        """Let a fault happen to a frame that was to go on now."""
        match fate.fault:
            case "drop":
                self._lose("reset", direction, "drop")
                return
            case "cut":
                passage.pass_on(fate.prefix(frame))
                self._lose("reset", direction, "cut")
                return
            case "truncate":
                passage.pass_on(fate.prefix(frame))
                self._lose("close", direction, "truncate")
                return
            case "half_open":
                self._silence(None, direction)
                return
            case "duplicate":
                passage.pass_on(frame)
                passage.pass_on(frame)
            case "flip":
                passage.pass_on(fate.flipped(frame))
            case "stall":
                passage.put_back(frame)
                passage.stall(self._faults.settings.get("stall_seconds", 1.0))
        if fate.fault is not None:
            self._note(fate.fault, direction)

    def _lose(self, how: How, direction: Direction, fault: Fault) -> None:
        if not self._passages[direction].is_dead:
            self._note(fault, direction)
            self._end(how)

    def _silence(self, keep: Side | None, direction: Direction) -> None:
        self._note("half_open", direction)
        self._is_half_open = True
        for passage in self._passages.values():
            passage.kill()
        if keep == "broker":
            self._near.reset()
        elif keep == "client" and self._far is not None:
            self._far.reset()

    def _end(self, how: How, *, at_once: bool = False) -> None:
        for passage in self._passages.values():
            passage.kill()
        for side in (self._near, self._far):
            if side is not None:
                side.reset(at_once=at_once) if how == "reset" else side.finish()

    def _note(self, fault: Fault, direction: Direction) -> None:
        passage = self._passages[direction]
        self._faults.note(Injected(self.number, direction, passage.frames, fault, passage.passed))

    def _read(self, direction: Direction, is_wanted: bool) -> None:
        source = self._near if direction == "to_broker" else self._far
        if source is not None:
            source.read(is_wanted)


def _address(url: str) -> tuple[str, int]:
    target = urlsplit(url)
    if target.scheme not in ("ws", "wss") or target.hostname is None:
        raise ValueError(f"{url!r} is no URL of a broker, as ws://127.0.0.1:8765")
    return target.hostname, target.port or (443 if target.scheme == "wss" else 80)
