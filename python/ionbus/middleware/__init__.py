"""What stands around calls, streams and events: the model, and middleware that ships (docs/middleware.md)."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from ionbus.middleware.cache import cache as cache
from ionbus.middleware.chains import only as only
from ionbus.middleware.circuit_breaker import circuit_breaker as circuit_breaker
from ionbus.middleware.deduplicate import deduplicate as deduplicate
from ionbus.middleware.failures import CircuitOpen as CircuitOpen, RateLimited as RateLimited
from ionbus.middleware.logging import logging as logging
from ionbus.middleware.message import (
    AnyMiddleware as AnyMiddleware,
    Dropped as Dropped,
    EventMiddleware as EventMiddleware,
    Key as Key,
    Message as Message,
    MessageContext as MessageContext,
    Middleware as Middleware,
    MiddlewareError as MiddlewareError,
    Next as Next,
    State as State,
    StreamMiddleware as StreamMiddleware,
    drop as drop,
)
from ionbus.middleware.onion import compose as compose
from ionbus.middleware.rate_limit import rate_limit as rate_limit
from ionbus.middleware.timeout import timeout as timeout
from ionbus.middleware.validation import validation as validation

if _TYPE_CHECKING:
    from ionbus.middleware.retry import retry as retry
    from ionbus.middleware.tracing import tracing as tracing

_EXTRAS = {"retry": "retry", "tracing": "otel"}
"""What needs more than ionbus itself, and the extra that installs it: imported when it is first asked for."""


def __getattr__(name: str) -> object:
    if name not in _EXTRAS:
        raise AttributeError(f"module 'ionbus.middleware' has no attribute {name!r}")
    try:
        found: object = getattr(_import_module(f"ionbus.middleware.{name}"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{name}() needs {error.name}: pip install "ionbus[{_EXTRAS[name]}]"', name=error.name
        ) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXTRAS})
