"""Payloads: what is sent is valid and comes back equal; what is not is refused with its path, on both sides."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, field_validator
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from ionbus import Int64
from ionbus.contract.payload import Payload
from ionbus.errors import InvalidPayload
from ionbus.wire.values import encode

T = TypeVar("T")


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Rank(IntEnum):
    FIRST = 1


class Node(BaseModel):
    id: str
    weight: float = Field(default=1.0, ge=0)
    children: list["Node"] = []


class Flow(BaseModel):
    nodes: list[Node]
    level: Level = Level.LOW


class Request(BaseModel):
    flow: Flow


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    node_id: str
    started_at: datetime | None = None


class SpelledTwice(BaseModel):
    """What it reads and what it writes are called differently; on the wire it is as written."""

    path: str = Field(validation_alias=AliasChoices("file", "fileName"), serialization_alias="filePath")
    metadata: Aliased
    fields: dict[str, int] = {}


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Page(BaseModel, Generic[T]):
    items: list[T]


class Normalised(BaseModel):
    name: str
    _seen: list[str] = PrivateAttr(default_factory=list)

    @field_validator("name")
    @classmethod
    def lower(cls, name: str) -> str:
        return name.lower()


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    depth: int


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (None, None),
        (str, "straße"),
        (int, 2**53 - 1),
        (float, 0.1),
        (bool, True),
        (bytes, b"\x00\xc7\x07\x05\xff"),
        (list[int], [1, 2]),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (dict[str, float], {"a": 1.5}),
        (dict[int, str], {1: "a"}),
        (int | None, None),
        (Literal["a", "b"], "a"),
        (Level, Level.HIGH),
        (Rank, Rank.FIRST),
        (datetime, WHEN),
        (date, date(2026, 1, 2)),
        (time, time(1, 2, 3)),
        (timedelta, timedelta(days=-1, microseconds=1)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (Node, Node(id="a", children=[Node(id="b")])),
        (Request, Request(flow=Flow(nodes=[Node(id="a")], level=Level.HIGH))),
        (Aliased, Aliased(nodeId="a", startedAt=WHEN)),  # type: ignore[call-arg, unused-ignore]
        (SpelledTwice, SpelledTwice(file="a", metadata=Aliased(nodeId="n"), fields={"type": 1})),  # type: ignore[call-arg, unused-ignore]
        (Pet, Cat(lives=3)),
        (Page[Cat], Page[Cat](items=[Cat()])),
        (Point, Point(1, 2)),
        (Options, {"depth": 3}),
        (Normalised, Normalised(name="a")),
    ],
    ids=str,
)
def test_a_value_survives_the_trip(form: Any, value: object) -> None:
    payload: Payload[Any] = Payload(form, "it")
    arrived = payload.decode(bytes(payload.encode(value)))
    assert arrived == value
    assert type(arrived) is type(value)


def test_the_wire_spells_fields_as_the_model_serialises_them() -> None:
    value = SpelledTwice.model_validate({"file": "a", "metadata": {"nodeId": "n"}})
    assert Payload(SpelledTwice).dump(value) == {
        "filePath": "a",
        "metadata": {"nodeId": "n", "startedAt": None},
        "fields": {},
    }


def _constructed() -> object:
    return Request(
        flow=Flow(
            nodes=[Node(id="a"), Node.model_construct(weight=1.0)]  # type: ignore[call-arg, unused-ignore]
        )
    )


def _mutated() -> object:
    request = Request(flow=Flow(nodes=[Node(id="a", children=[Node(id="b")])]))
    request.flow.nodes[0].children[0].weight = -1
    return request


def _surrogate() -> object:
    return Request(flow=Flow(nodes=[Node.model_construct(id="\ud800", weight=1.0, children=[])]))


@pytest.mark.parametrize(
    ("form", "make", "path", "problem"),
    [
        (Request, _constructed, "flow.nodes[1].id", "Field required"),
        (Request, _mutated, "flow.nodes[0].children[0].weight", "Input should be greater than or equal to 0"),
        (Request, lambda: {"flow": {"nodes": [{}]}}, "flow.nodes[0].id", "Field required"),
        (None, lambda: 3, "", "Input should be None"),
        (list[int], lambda: [1, 2**53], "[1]", "an integer outside"),
        (list[int], lambda: [-(2**70)], "[0]", "an integer outside"),
        (dict[str, set[int]], lambda: {"a": {2**60}}, "a[0]", "an integer outside"),
        (int | float, lambda: 2**60, "", "an integer outside"),
        (
            dict[str, int | bytes],
            lambda: {"a": bytes(range(256)) * 40, "b": 2**60},
            "b",
            "an integer outside",
        ),
        (
            list[int | str | bytes],
            lambda: [bytes(5_000), "\x05" * 5_000, -(2**60)],
            "[2]",
            "an integer outside",
        ),
        (list[int | bytes], lambda: [b"\x05" * 5_000, *range(3_000), 2**60], "[3001]", "an integer outside"),
        (dict[str, int], lambda: {"__proto__": 1}, "__proto__", "the key `__proto__` is not allowed"),
        (Any, lambda: {"a": [object()]}, "a[0]", "object is not a value that travels"),
    ],
)
def test_what_is_wrong_is_refused_before_it_is_sent(
    form: Any, make: Callable[[], object], path: str, problem: str
) -> None:
    payload: Payload[Any] = Payload(form, "conductor.execute")
    with pytest.raises(InvalidPayload) as caught:
        payload.encode(make())
    found, said = caught.value.paths[0]
    assert found == path
    assert said.startswith(problem)
    where = f"conductor.execute: {path}: " if path else "conductor.execute: "
    assert str(caught.value).startswith(f"{where}{problem}")
    assert str(caught.value).endswith(" (payload refused before it was sent)")


@pytest.mark.parametrize(
    ("form", "data", "path"),
    [
        (Request, b"\x81\xa4flow\x81\xa5nodes\x91\x80", "flow.nodes[0].id"),
        (int, b"\xa1x", ""),
        (int, b"\x01\x01", ""),
        (int, b"", ""),
        (int, b"\xc1", ""),
        (list[int], b"\x92\x01", "[1]"),
        (
            list[int],
            b"\x91\xcb\x43\x40\0\0\0\0\0\0",
            "[0]",
        ),  # 2^53 as JavaScript has it: it may have been 2^53 + 1
        (list[Int64], b"\x91\xcb\xc3\x40\0\0\0\0\0\0", "[0]"),
    ],
)
def test_what_is_wrong_is_refused_on_arrival(form: Any, data: bytes, path: str) -> None:
    payload: Payload[Any] = Payload(form, "conductor.execute")
    with pytest.raises(
        InvalidPayload, match=r"^conductor\.execute: .*\(payload refused on arrival\)$"
    ) as caught:
        payload.decode(data)
    assert caught.value.paths[0][0] == path


def test_what_is_sent_is_what_came_out_of_validation() -> None:
    value = Normalised(name="a")
    value.name = "B"
    assert Payload(Normalised).dump(value) == {"name": "b"}


def test_a_subclass_travels_as_what_the_contract_names() -> None:
    class Special(Cat):
        secret: str = "s"

    assert Payload(Cat).dump(Special()) == {"kind": "cat", "lives": 9}


def test_a_type_that_is_not_complete_yet_is_completed_on_first_use() -> None:
    class Early(BaseModel):
        later: "Later"

    payload = Payload(Early, "it")

    class Later(BaseModel):
        x: int

    Early.model_rebuild(_types_namespace={"Later": Later})
    assert payload.dump(Early(later=Later(x=1))) == {"later": {"x": 1}}


def test_of_many_problems_a_hundred_are_told() -> None:
    with pytest.raises(InvalidPayload) as caught:
        Payload(list[int], "a.call").decode(encode(["x"] * 5_000))
    assert len(caught.value.paths) == 100
    assert str(caught.value).startswith("a.call: [0]: Input should be a valid integer")
    assert ", and 4999 more (" in str(caught.value)


def test_of_too_many_problems_the_number_is_told() -> None:
    with pytest.raises(InvalidPayload) as caught:
        Payload(list[int], "a.call").decode(encode(["x"] * 20_000))
    assert caught.value.paths == [("", "20000 problems, more than are told one by one")]


def test_a_problem_shows_little_of_what_was_sent() -> None:
    with pytest.raises(InvalidPayload) as caught:
        Payload(dict[str, int], "a.call").decode(encode({"k" * 100_000: "x"}))
    assert caught.value.paths[0][0] == "k" * 64 + "…"


PRIME = 2**61 - 1
"""Whole numbers that differ by a multiple of it have the same hash."""


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (set[int], [str(PRIME * number) for number in range(1, 40_000)]),
        (frozenset[int], [PRIME * number for number in range(1, 40_000)]),
        (set[UUID], [str(UUID(int=PRIME * number)) for number in range(1, 40_000)]),
        (dict[UUID, None], {str(UUID(int=PRIME * number)): None for number in range(1, 40_000)}),
        (dict[str, set[Decimal | None]], {"a": [str(PRIME * number) for number in range(1, 40_000)]}),
        (dict[Annotated[int, Field(ge=0)], int], {str(PRIME * number): 1 for number in range(1, 40_000)}),
    ],
)
def test_text_that_becomes_members_with_one_hash_is_refused(form: Any, value: object) -> None:
    """Looking each of them up in the others took a minute."""
    with pytest.raises(InvalidPayload, match="more than 256 members or keys have the same hash"):
        Payload(form, "a.call").decode(encode(value))


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (set[int], [str(number) for number in range(5_000)]),
        (dict[UUID, int], {str(UUID(int=number)): number for number in range(5_000)}),
        (set[int] | list[int], {*range(5_000)}),
        (set[int] | list[int], [*range(5_000)]),
    ],
)
def test_other_text_becomes_members(form: Any, value: Any) -> None:
    assert len(Payload[Any](form, "a.call").decode(encode(value))) == 5_000


def test_a_signaling_nan_for_an_enum_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="a decimal that cannot be compared with anything"):
        Payload(Rank, "a.call").decode(encode(Decimal("sNaN")))


def test_payloads_of_one_model_share_what_validates_it() -> None:
    first, second = Payload(Flow), Payload(Flow, where="elsewhere")
    assert first.encode(Flow(nodes=[])) == second.encode(Flow(nodes=[]))
    assert first._validators is not None
    assert first._validators is second._validators
    with pytest.raises(InvalidPayload, match=r"^elsewhere: nodes: "):
        second.encode({})
