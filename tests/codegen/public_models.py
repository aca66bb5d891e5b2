"""Contracts around sets of pydantic models that we did not write: a call that a client serves for each model and union."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import ag_ui.core
import mcp.types
import openapi_pydantic
import openapi_pydantic.v3.v3_0
from pydantic import BaseModel

from ionbus import Call, Contract

UNIONS: dict[ModuleType, tuple[str, ...]] = {
    ag_ui.core: ("Event", "Message", "RunFinishedOutcome"),
    mcp.types: (
        "ClientRequest",
        "ClientNotification",
        "ClientResult",
        "ContentBlock",
        "JSONRPCMessage",
        "ServerNotification",
    ),
    openapi_pydantic: (),
    openapi_pydantic.v3.v3_0: (),
}


def forms(library: ModuleType) -> dict[str, Any]:
    """The models and the unions of a library, by name."""
    found: dict[str, Any] = dict(_models(library))
    found.update((name, getattr(library, name)) for name in UNIONS[library])
    return found


def _models(library: ModuleType) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, value in vars(library).items():
        is_model = inspect.isclass(value) and issubclass(value, BaseModel)
        if is_model and value.__module__.partition(".")[0] != "pydantic" and not _parameters(value):
            yield name, value


def _parameters(model: type[BaseModel]) -> tuple[Any, ...]:
    parameters: tuple[Any, ...] = model.__pydantic_generic_metadata__["parameters"]
    return parameters


def member_name(name: str) -> str:
    """`RunStartedEvent` becomes `run_started_event`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def contract_of(library: ModuleType) -> type[Contract]:
    """Wrap a library in a contract."""
    make: Any = type
    name = "outside"
    members = {
        member_name(each): Call(form, form, served_by="client") for each, form in forms(library).items()
    }
    body = {
        "__module__": __name__,
        "__qualname__": "Outside",
        "ready": Call(None, None, timeout=None),
        **members,
    }
    made: type[Contract] = make("Outside", (Contract,), body, name=name)
    return made
