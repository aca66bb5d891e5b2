"""A contract's rules of validation: how strict it is, and what becomes of fields that a model does not have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from ionbus import Broker, Call, Contract, Event, InvalidPayload, connect
from ionbus.contract.description import describe_contract
from ionbus.wire.values import decode, encode


class Level(Enum):
    LOW = "low"


class Part(BaseModel):
    size: int = 0


class Order(BaseModel):
    count: int
    parts: list[Part] = []


class Lenient(BaseModel):
    count: int = Field(strict=False)


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = 0


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    count: int = 0


@dataclass
class Plain:
    count: int = 0


class Typed(TypedDict):
    count: int


class Strict(Contract, name="strict", strict=True):
    ordered = Event(Order, source="any")
    lenient = Event(Lenient, source="any")

    class inner(Contract):  # noqa: N801
        ordered = Event(Order, source="any")


class Coercing(Contract, name="coercing"):
    ordered = Event(Order, source="any")


class Forbidding(Contract, name="forbidding", extra="forbid"):
    ordered = Event(Order, source="any")
    plain = Event(Plain, source="any")
    typed = Event(Typed, source="any")
    open = Event(Open, source="any")


class Ignoring(Contract, name="ignoring", extra="ignore"):
    ordered = Event(Order, source="any")
    closed = Event(Closed, source="any")


class Keeping(Contract, name="keeping", extra="allow"):
    ordered = Event(Order, source="any")
    echo = Call(Order, Order)
    closed = Event(Closed, source="any")


def arrived(event: Event[Any, Any], value: object) -> Any:
    """What a payload becomes that arrives as this."""
    return event.payload.decode(encode(value))


def test_a_coercing_contract_converts_what_can_be_converted() -> None:
    assert arrived(Coercing.ordered, {"count": "5"}).count == 5


@pytest.mark.parametrize("event", [Strict.ordered, Strict.inner.ordered], ids=["own", "of a nested contract"])
def test_a_strict_contract_refuses_another_type_and_says_where(event: Event[Any, Any]) -> None:
    with pytest.raises(InvalidPayload, match=r"strict\.(inner\.)?ordered: count: .*valid integer"):
        arrived(event, {"count": "5"})
    with pytest.raises(InvalidPayload, match=r"parts\[1\]\.size"):
        arrived(event, {"count": 5, "parts": [{"size": 1}, {"size": True}]})


def test_a_strict_contract_refuses_it_before_it_is_sent_too() -> None:
    with pytest.raises(InvalidPayload, match="before it was sent"):
        Strict.ordered.payload.encode({"count": "5"})
    with pytest.raises(InvalidPayload, match="before it was sent"):
        Strict.ordered.payload.encode(Order.model_construct(count="5"))  # type: ignore[arg-type]


def test_a_field_that_says_it_itself_converts_in_a_strict_contract() -> None:
    assert arrived(Strict.lenient, {"count": "5"}).count == 5


def test_one_model_has_the_rules_of_each_contract_that_it_is_used_in() -> None:
    arrived(Coercing.ordered, {"count": "5"})
    with pytest.raises(InvalidPayload):
        arrived(Strict.ordered, {"count": "5"})
    assert arrived(Coercing.ordered, {"count": "6"}).count == 6


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (int, 5),
        (float, 5),  # JavaScript has one type for both
        (float, 0.5),
        (str, "a"),
        (bool, True),
        (bytes, b"a"),
        (date, date(2026, 1, 2)),
        (datetime, datetime(2026, 1, 2, tzinfo=UTC)),
        (time, time(1)),
        (timedelta, timedelta(1)),
        (Decimal, Decimal("1.1")),
        (UUID, UUID(int=1)),
        (Level, Level.LOW),
        (Literal["a"], "a"),
        (tuple[int, str], (1, "a")),
        (set[int], {1}),
        (frozenset[str], frozenset({"a"})),
        (dict[int, str], {1: "a"}),
        (int | str, "5"),
        (int | None, None),
        (Order, Order(count=1, parts=[Part()])),
        (Plain, Plain(1)),
        (Typed, {"count": 1}),
    ],
    ids=str,
)
def test_every_type_travels_in_a_strict_contract(form: Any, value: object) -> None:
    class Every(Contract, name="every", strict=True):
        it = Event(form, source="any")

    assert arrived(Every.it, decode(bytes(Every.it.payload.encode(value)))) == value


def test_unknown_fields_are_refused_where_the_contract_says_so() -> None:
    for event in (Forbidding.ordered, Forbidding.plain, Forbidding.typed):
        with pytest.raises(InvalidPayload, match=r"size2"):
            arrived(event, {"count": 1, "size2": 2})
    with pytest.raises(InvalidPayload, match=r"parts\[0\]\.size2"):
        arrived(Forbidding.ordered, {"count": 1, "parts": [{"size2": 2}]})
    assert arrived(Forbidding.ordered, {"count": 1}).count == 1


def test_unknown_fields_are_dropped_where_the_contract_says_so() -> None:
    order = arrived(Ignoring.ordered, {"count": 1, "more": 2})
    assert order == Order(count=1)
    assert decode(bytes(Ignoring.ordered.payload.encode(order))) == {"count": 1, "parts": []}


def test_unknown_fields_are_kept_and_sent_on_where_the_contract_says_so() -> None:
    order = arrived(Keeping.ordered, {"count": 1, "more": {"a": [1]}, "parts": [{"size": 1, "unit": "mm"}]})
    assert order.model_extra == {"more": {"a": [1]}}
    assert decode(bytes(Keeping.ordered.payload.encode(order))) == {
        "count": 1,
        "more": {"a": [1]},
        "parts": [{"size": 1, "unit": "mm"}],
    }


def test_a_model_that_says_it_itself_keeps_its_own_rule() -> None:
    for event in (Ignoring.closed, Keeping.closed):
        with pytest.raises(InvalidPayload, match="more"):
            arrived(event, {"count": 1, "more": 2})
    assert arrived(Forbidding.open, {"count": 1, "more": 2}).model_extra == {"more": 2}


async def test_kept_fields_go_through_a_handler_and_back() -> None:
    broker = Broker(Keeping)

    @broker.handle(Keeping.echo)
    async def echo(order: Order) -> Order:
        return order

    class Sent(Order):
        model_config = ConfigDict(extra="allow")

    async with connect(broker) as bus:
        answer = await bus.call(Keeping.echo, Sent.model_validate({"count": 1, "colour": "red"}))
    assert answer.model_extra == {"colour": "red"}


@pytest.mark.parametrize(
    ("contract", "said"), [(Forbidding, False), (Keeping, True), (Ignoring, None), (Coercing, None)]
)
def test_the_description_says_what_becomes_of_unknown_fields(
    contract: type[Contract], said: bool | None
) -> None:
    described = describe_contract(contract.__contract__)
    for name in ("Order-Input", "Part-Output"):
        assert described.schema.definitions[name].get("additionalProperties") == said


def test_wrong_rules_are_refused_where_the_contract_is_declared() -> None:
    with pytest.raises(TypeError, match='extra is "ignore", "forbid" or "allow", not \'refuse\''):

        class Misspelt(Contract, name="misspelt", extra="refuse"):  # type: ignore[arg-type]
            pass

    with pytest.raises(TypeError, match="strict is True or False"):

        class Unclear(Contract, name="unclear", strict="yes"):  # type: ignore[arg-type]
            pass

    with pytest.raises(TypeError, match=r"inner: .*outermost one's rules"):

        class Outer(Contract, name="outer"):
            class inner(Contract, strict=True):  # noqa: N801
                pass
