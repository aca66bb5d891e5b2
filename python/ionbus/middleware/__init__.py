"""What stands around calls, streams and events: the model, and middleware that ships (docs/middleware.md)."""

from ionbus.middleware.chains import only as only
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
