"""What every broker serves besides its own contracts: the way for a window to a WebSocket."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ionbus.contract.contract import Contract
from ionbus.contract.members import Call, Event


class WindowOrigin(BaseModel):
    """Which page will connect: the `Origin` that its browser sends, as `file://` or `http://localhost:5173`.

    `roles`: what it may use of what asks for a role.
    """

    origin: str
    roles: list[str] = []


class WindowEndpoint(BaseModel):
    """Where a window connects to, and a token that opens one session."""

    url: str
    token: str = Field(repr=False)


class Discontinuity(BaseModel):
    """What comes next does not follow on what came before: the session was lost, and a new one has taken its place."""

    reason: str
    """Why, as a code of docs/protocol.md, section 9: `new_epoch` where the broker was started anew."""
    missed: dict[str, int] | None
    """Events for this client that it had not acknowledged, by name (others under "*"); None where the broker is a new one."""
    lost_events: int
    """Events of this client that may not have arrived."""
    lost_calls: int
    """Requests of this client that were rejected with SessionLost."""


class Ionbus(Contract, name="ionbus", version="1.0"):
    """What ionbus itself has: an event that every client publishes to itself, and calls for Electron's main process alone."""

    discontinuity = Event(
        Discontinuity,
        doc="The client's session was lost. It is published at that client itself, before anything of the new session.",
    )

    endpoint = Call(
        WindowOrigin | None,
        WindowEndpoint,
        doc="A loopback WebSocket and a fresh one-use token, for `attach(window, { transport: 'websocket' })`.",
    )
    release = Call(
        list[str], None, doc="The page that had these tokens is gone: the sessions that they opened are over."
    )
