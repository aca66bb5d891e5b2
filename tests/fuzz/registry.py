"""The targets by name."""

from __future__ import annotations

import importlib
from typing import Final

from fuzz.driver import Target

NAMES: Final = (
    *("payload", "values", "forms", "frames", "messages", "records", "hello", "session", "connection"),
    *("dispatch", "client", "websocket", "websocket_client", "description", "filters", "asyncapi"),
)
"""In the order of the layers, from the wire upwards."""


SHARES: Final = {"asyncapi": 10}
"""Of the others' inputs one in so many: it reads what a developer wrote, and nobody sends."""


def load(name: str) -> Target:
    """Make a target; whoever does closes it."""
    target: Target = importlib.import_module(f"fuzz.targets.{name}").target()
    return target
