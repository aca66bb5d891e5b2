"""What is compared: every system is a client in Node.js and the server in Python that it starts."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.payloads import BYTES, PAYLOADS

HERE = Path(__file__).parent
FAST = ("ormsgpack",)
"""What ionbus[fast] installs besides uvloop."""


@dataclass(frozen=True)
class System:
    """One of them.

    Args:
        name: what records call it.
        peer: its folder in peers/.
        channel: what carries it, websocket, http2 or stdio.
        server_options: for the server's command line.
        client_options: for the client.
        payloads: what it can carry, by name.
    """

    name: str
    peer: str
    channel: str
    server_options: tuple[str, ...] = ()
    client_options: Mapping[str, str] = field(default_factory=dict)
    payloads: tuple[str, ...] = (*PAYLOADS, *BYTES)

    @property
    def client(self) -> Path:
        return HERE / "peers" / self.peer / "client.mjs"

    def command(self, loop: str) -> list[str]:
        """What starts its server."""
        module = f"benchmarks.peers.{self.peer}.server"
        return [sys.executable, "-m", module, "--loop", loop, "--channel", self.channel, *self.server_options]

    def options(self) -> dict[str, str]:
        """What its client is told."""
        options = {"channel": self.channel, **self.client_options}
        if self.peer == "ionbus":
            from benchmarks.peers.ionbus.contract import Bench  # noqa: PLC0415 - nobody else needs ionbus

            options["fingerprint"] = Bench.__contract__.fingerprint
        return options


def _ionbus(name: str, channel: str) -> System:
    """As installed: without what ionbus[fast] adds, but for the loop that all servers have."""
    return System(name, "ionbus", channel, tuple(f"--hide={module}" for module in FAST))


def _socketio(serializer: str, name: str) -> System:
    return System(name, "socketio", "websocket", ("--serializer", serializer), {"serializer": serializer})


def _grpc(mode: str) -> System:
    return System(f"grpc-{mode}", "grpc", "http2", (), {"mode": mode}, ("150B", *BYTES))


SYSTEMS = {
    system.name: system
    for system in (
        _ionbus("ionbus-websocket", "websocket"),
        _ionbus("ionbus-stdio", "stdio"),
        System("ionbus-websocket-fast", "ionbus", "websocket"),
        System("ionbus-stdio-fast", "ionbus", "stdio"),
        System("raw-websocket", "raw", "websocket"),
        System("raw-stdio", "raw", "stdio"),
        _socketio("default", "socketio-json"),
        _socketio("msgpack", "socketio-msgpack"),
        _grpc("unary"),
        _grpc("stream"),
        System("wslink", "wslink", "websocket"),
        System("jsonrpc-stdio", "jsonrpc", "stdio"),
    )
}
"""By name."""

REFERENCES = ("raw-websocket", "raw-stdio", "socketio-json", "socketio-msgpack")
"""What the others' figures are divided by."""
