"""Payloads of a contract: whatever bytes, a value of the declared type or InvalidPayload, for forms of every kind."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import TypedDict

from fuzz import grammar
from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import check
from ionbus import Int64
from ionbus.contract.payload import Payload
from ionbus.errors import InvalidPayload, error_to_wire
from ionbus.wire import values


class Level(Enum):
    LOW = 1
    HIGH = "high"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(default=9, ge=0)


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["dog"] = "dog"
    name: str = ""


class Tree(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str = "x"
    weight: float = 0.5
    children: list[Tree] = []


class Options(TypedDict, total=False):
    level: Level
    since: datetime


# fmt: off
_DECLARED: Final[tuple[Any, ...]] = (
    int, float, str, bytes, bool, None, Decimal, UUID, datetime, date, time, timedelta, Level, Any, JsonValue, Int64,
    list[int], set[int], set[UUID], frozenset[tuple[int, str]], tuple[int, str], dict[str, int], dict[UUID, int],
    dict[int, list[float]], dict[Decimal, None], set[Decimal], list[bytes], Tree, Options, AnyUrl, IPv4Address, IPv6Network,
    PurePosixPath, int | str | None, list[int | float | Decimal], Literal["a", 1], set[datetime] | list[date],
    Annotated[Cat | Dog, Field(discriminator="kind")], Cat | Dog, Annotated[Decimal, Field(gt=0, decimal_places=2)],
)
# fmt: on
FORMS: Final = tuple(Payload[Any](form, "a.call") for form in _DECLARED)
_GUIDED: Final = tuple(
    map(
        values.encode,
        (
            {"id": "a", "weight": 1, "children": [{"id": "b"}]},
            {"kind": "dog"},
            {"kind": "cat", "lives": 3},
            {"level": "high"},
        ),
    )
)


def run(data: bytes) -> Outcome:
    """The first byte chooses the form, the others make the payload."""
    choices = Choices(data)
    form = choices.pick(FORMS)
    payload = grammar.damaged(choices, choices.pick(_GUIDED)) if choices.one_in(8) else grammar.value(choices)
    try:
        value = form.decode(payload)
    except InvalidPayload as invalid:
        _, text, details = error_to_wire(invalid)
        check(
            len(text) < 6_000 and len(values.encode(details)) < 200_000,
            f"a refusal of {len(text)} characters",
        )
        return Outcome(f"{FORMS.index(form)}: {invalid.paths[0][1][:40]}")
    return Outcome(f"{FORMS.index(form)}: {type(value).__name__}")


def target() -> Target:
    """See the module."""
    return Target("forms", run, tuple(corpus("forms").values()), longest=200)
