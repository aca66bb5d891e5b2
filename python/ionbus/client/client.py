"""Connects to a broker, wherever it is."""

from __future__ import annotations

import os
import shlex
import ssl as tls
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from ionbus.broker.broker import Broker
from ionbus.broker.endpoints import STDIO
from ionbus.channels.base import Opener
from ionbus.channels.health import BrokerExited
from ionbus.channels.memory import MemoryListener
from ionbus.channels.supervisor import LaunchedBroker
from ionbus.channels.websocket_client import Source, endpoint_file_opener, websocket_opener
from ionbus.client.bus import Bus
from ionbus.client.client_session import ClientSession
from ionbus.contract.contract import Contract
from ionbus.errors import ConnectionLost
from ionbus.generated.protocol import Limits
from ionbus.version import AGENT

LATENESS: Final = 10.0
"""Seconds that a launched broker's end may take after its start has timed out."""

MAX_PATIENCE: Final = 1e6


@asynccontextmanager
async def connect(
    broker: Source | Broker[Any] | LaunchedBroker = None,
    /,
    *,
    token: Source = None,
    stdio: Sequence[str | os.PathLike[str]] | None = None,
    contracts: Sequence[type[Contract]] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    ssl: tls.SSLContext | None = None,
    limits: Limits | None = None,
    wait: bool = True,
    roles: AbstractSet[str] | None = None,
    through: Callable[[Opener], Opener] | None = None,
) -> AsyncIterator[Bus]:
    """Connect to a broker while the block runs.

    Args:
        broker: its URL, or a function that gives it; a `Broker` for one in this process, as in tests; a `LaunchedBroker`;
            `"stdio:python -m myapp"`, a command in a shell's quoting, but run without a shell. Left out: `IONBUS_URL`, with
            `IONBUS_TOKEN`, or else the file that `IONBUS_ENDPOINT_FILE` names, which a broker has written.
        token: who this client is, or a function that gives it.
        stdio: a command that starts a broker as a child; it ends with the block. `LaunchedBroker` takes more options.
        contracts: to compare with the broker's at once; others are compared when they are first used.
        env: the child's environment; this process's where it is left out.
        cwd: where the child runs.
        ssl: for `wss://` with a certificate that the system does not know.
        limits: bounds and times, where the defaults do not do.
        wait: enter the block once the broker has answered, and raise where the first attempt fails; else enter it at once.
        roles: with a `Broker`: what this client may use of what asks for a role; left out: everything.
        through: given what opens each channel, gives what is to open it instead: for tests, as `partial(faulty, faults=faults)`.

    Yields:
        The bus. It reconnects by itself, for ever, until the block is left; or until a broker that was launched is given up.

    Raises:
        TypeError: these arguments do not go together.
        ConnectionLost: there is nothing to connect to, or nobody answers.
        BrokerExited: the command cannot be started, or has ended before it answered; its last lines are told.
        Unauthenticated, ContractMismatch: the broker refuses this client.
    """
    if stdio is not None and broker is not None:
        raise TypeError("connect() takes a URL, a Broker or stdio=[...]: one of them")
    if isinstance(contracts, type):
        raise TypeError(f"contracts= is a list: contracts=[{contracts.__name__}]")
    if broker is not None and not (isinstance(broker, (str, Broker, LaunchedBroker)) or callable(broker)):
        raise TypeError(f"connect() takes a URL, a function that gives one, or a Broker, not {broker!r}")
    if isinstance(broker, str) and broker.startswith(STDIO):
        stdio = _words(broker)
        broker = None
    if roles is not None and not isinstance(broker, Broker):
        raise TypeError(
            "roles= is for a Broker in this process; elsewhere the broker says what a token gives"
        )
    async with AsyncExitStack() as stack:
        may_renew_token = callable(token)
        limits = limits or Limits()
        if stdio is not None:
            broker = await stack.enter_async_context(LaunchedBroker(stdio, cwd=cwd, env=env))
        if isinstance(broker, LaunchedBroker):
            opener: Opener = broker.open
            may_renew_token = True
            if limits.handshake_ms == Limits().handshake_ms:
                # It knows better than the greeting's time-out when a broker that has just been started is late.
                patience = min(broker.start_timeout + LATENESS, MAX_PATIENCE)
                limits = replace(limits, handshake_ms=round(patience * 1000))
        elif isinstance(broker, Broker):
            await stack.enter_async_context(broker.opened())
            opener = MemoryListener(broker.accept_local(roles)).open
        else:
            url, file = broker, None
            if url is None:
                url, file = os.environ.get("IONBUS_URL"), os.environ.get("IONBUS_ENDPOINT_FILE")
                token = token or (os.environ.get("IONBUS_TOKEN") if url else None)
            if url:
                opener = websocket_opener(url, token, ssl=ssl)
            elif file:
                opener = endpoint_file_opener(file, token, ssl=ssl)
                may_renew_token = True
            else:
                raise ConnectionLost(
                    "nothing to connect to: pass a URL, stdio=[...] or a Broker, or set IONBUS_URL (and IONBUS_TOKEN) or "
                    "IONBUS_ENDPOINT_FILE"
                )
        session = ClientSession(
            opener if through is None else through(opener),
            contracts=contracts,
            limits=limits,
            agent=AGENT,
            may_renew_token=may_renew_token,
        )
        stack.push_async_callback(session.close)
        if isinstance(broker, LaunchedBroker):
            stack.callback(broker.on_start(lambda _: session.link.retry()))
        try:
            await session.start(wait=wait)
        except ConnectionLost as error:
            how = broker.health.last_exit if isinstance(broker, LaunchedBroker) else None
            if how is None or isinstance(error, BrokerExited):
                raise
            raise BrokerExited.of(how) from error
        yield Bus(session)


def _words(url: str) -> list[str]:
    """The words of a command behind `stdio:`, as a POSIX shell would cut them."""
    try:
        words = shlex.split(url.removeprefix(STDIO))
    except ValueError as error:
        raise ValueError(f"{url}: {error}; give stdio=[...] where quoting is hard") from None
    if not words:
        raise ValueError('a command is missing, as in "stdio:python -m myapp"')
    return words
