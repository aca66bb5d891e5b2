"""What every broker serves besides its own contracts: the way for a window to a WebSocket."""

from __future__ import annotations

from pydantic import BaseModel

from ionbus.contract.contract import Contract
from ionbus.contract.members import Call


class WindowOrigin(BaseModel):
    """Which page will connect: the `Origin` that its browser sends, as `file://` or `http://localhost:5173`."""

    origin: str


class WindowEndpoint(BaseModel):
    """Where a window connects to, and a token that opens one session."""

    url: str
    token: str


class Ionbus(Contract, name="ionbus", version="1.0"):
    """What ionbus itself serves, to Electron's main process alone."""

    endpoint = Call(
        WindowOrigin | None,
        WindowEndpoint,
        doc="A loopback WebSocket and a fresh one-use token, for `attach(window, { transport: 'websocket' })`.",
    )
    release = Call(
        list[str], None, doc="The page that had these tokens is gone: the sessions that they opened are over."
    )
