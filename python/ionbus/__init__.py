"""Typed events, calls and streams between a Python process and an Electron window or a browser page."""

import os as _os
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from ionbus.channels.lifeline import end_with_launcher as _end_with_launcher

if _os.environ.get("IONBUS_LAUNCH") == "stdio":
    _end_with_launcher()

from ionbus.broker.broker import Broker as Broker
from ionbus.broker.dead_letters import CannotResend as CannotResend, DeadLetter as DeadLetter
from ionbus.broker.endpoints import Endpoint as Endpoint
from ionbus.broker.principals import Principal as Principal
from ionbus.broker.served_session import Session as Session
from ionbus.contract.builtin import Discontinuity as Discontinuity, Ionbus as Ionbus
from ionbus.contract.contract import (
    Call as Call,
    Contract as Contract,
    ContractError as ContractError,
    Event as Event,
    Received as Received,
    Stream as Stream,
)
from ionbus.dispatch.context import Context as Context, ThreadContext as ThreadContext
from ionbus.dispatch.handlers import Handlers as Handlers
from ionbus.errors import (
    CallCancelled as CallCancelled,
    CallTimeout as CallTimeout,
    ConnectionLost as ConnectionLost,
    ContractMismatch as ContractMismatch,
    InternalError as InternalError,
    InvalidPayload as InvalidPayload,
    IonbusError as IonbusError,
    NotAllowed as NotAllowed,
    NotFound as NotFound,
    ProtocolError as ProtocolError,
    SessionLost as SessionLost,
    SlowConsumer as SlowConsumer,
    TooLarge as TooLarge,
    Unauthenticated as Unauthenticated,
)
from ionbus.generated.states import ConnectionState as ConnectionState
from ionbus.types import Int64 as Int64, UInt64 as UInt64

if _TYPE_CHECKING:
    from ionbus.channels.child_process import BrokerExit as BrokerExit
    from ionbus.channels.health import (
        BrokerExited as BrokerExited,
        BrokerHealth as BrokerHealth,
        BrokerStateChange as BrokerStateChange,
        RestartPolicy as RestartPolicy,
    )
    from ionbus.channels.supervisor import LaunchedBroker as LaunchedBroker
    from ionbus.client.bus import Bus as Bus
    from ionbus.client.client import connect as connect
    from ionbus.events.emitter import Emitter as Emitter
    from ionbus.events.failures import ListenerFailure as ListenerFailure
    from ionbus.events.recorded import not_ as not_, one_of as one_of
    from ionbus.events.subscription import Subscription as Subscription

_LATER = {
    "BrokerExit": "ionbus.channels.child_process",
    "BrokerExited": "ionbus.channels.health",
    "BrokerHealth": "ionbus.channels.health",
    "BrokerStateChange": "ionbus.channels.health",
    "Bus": "ionbus.client.bus",
    "Emitter": "ionbus.events.emitter",
    "LaunchedBroker": "ionbus.channels.supervisor",
    "ListenerFailure": "ionbus.events.failures",
    "RestartPolicy": "ionbus.channels.health",
    "Subscription": "ionbus.events.subscription",
    "connect": "ionbus.client.client",
    "not_": "ionbus.events.recorded",
    "one_of": "ionbus.events.recorded",
}
"""What a broker does not need, and where it is: imported when it is first asked for."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'ionbus' has no attribute {name!r}")
    found: object = getattr(_import_module(_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
