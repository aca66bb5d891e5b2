"""One row for each kind of type that a payload may have: its Python type, values of it, and what TypeScript sees of them."""

from __future__ import annotations

import collections
import enum
import ipaddress
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

import pydantic
from annotated_types import MaxLen, MinLen
from pydantic import (
    AfterValidator,
    AliasChoices,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    IPvAnyAddress,
    JsonValue,
    PlainSerializer,
    PostgresDsn,
    RootModel,
    Tag,
    computed_field,
    field_serializer,
    model_serializer,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypeAliasType, TypedDict

from ionbus import Call, Contract, Int64, UInt64, types

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """Args:
    name: the member's.
    form: the type.
    values: each sent from Python to TypeScript and back.
    seen: TypeScript that is true of each `value` there, and compiles for the generated type.
    sent: TypeScript that makes of it what is sent back, where that has another type.
    """

    name: str
    form: Any
    values: Sequence[Any]
    seen: str = "true"
    sent: str = "value"


# --- models ---------------------------------------------------------------------------------------------------


class Point(BaseModel):
    x: int
    y: float = 0.0


class Line(BaseModel):
    """Nested."""

    start: Point
    end: Point


class Tree(BaseModel):
    """Recursive, with 64-bit integers."""

    id: Int64
    children: list[Tree] = []
    by_name: dict[str, Tree] = {}


class Ping(BaseModel):
    """Recursive through another."""

    pong: Pong | None = None


class Pong(BaseModel):
    ping: Ping | None = None


class Box(BaseModel, Generic[T]):
    content: T
    spare: T | None = None


class Animal(BaseModel):
    name: str


class Bird(Animal):
    """Inherited."""

    can_fly: bool = True


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)

    display_name: str
    content_type: str = Field(alias="content-type")
    read_by_many: int = Field(validation_alias=AliasChoices("a", "b"), serialization_alias="written")


class Names(RootModel[list[str]]):
    """Root."""


class ById(RootModel[dict[int, Point]]):
    """Root around a mapping with other keys."""


class Absences(BaseModel):
    """Optional, nullable and defaulted."""

    nullable: int | None
    defaulted: int = 3
    both: str | None = None
    made: list[int] = Field(default_factory=list)


class Left(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["left"] = "left"
    id: Int64


class Right(BaseModel):
    model_config = ConfigDict(frozen=True)
    kind: Literal["right"]
    label: str


Side = TypeAliasType("Side", Annotated[Left | Right, Field(discriminator="kind")])
"""A union with a name."""


def _size(value: Any) -> str:
    extent: int = value["extent"] if isinstance(value, dict) else value.extent
    return "big" if extent > 10 else "small"


class Big(BaseModel):
    extent: int
    weight: float = 1.5


class Small(BaseModel):
    extent: int
    note: str = ""


Sized = Annotated[Annotated[Big, Tag("big")] | Annotated[Small, Tag("small")], Discriminator(_size)]


class Circle(BaseModel):
    """A computed field is received, not sent."""

    radius: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> float:
        return 3 * self.radius**2


class Written(BaseModel):
    """Serialised as another type than it has."""

    tags: list[str]

    @field_serializer("tags")
    def _write(self, tags: list[str]) -> str:
        return ",".join(tags)

    @pydantic.field_validator("tags", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value


class Whole(BaseModel):
    """Serialised as a whole."""

    x: int

    @model_serializer(mode="plain")
    def _write(self) -> dict[str, int]:
        return {"x": self.x}


class Sparse(BaseModel):
    """Serialised without what is None, by a function that says nothing about it."""

    x: int | None
    y: int | None = None

    @model_serializer(mode="wrap")
    def _write(self, handler):  # type: ignore[no-untyped-def]
        return {key: value for key, value in handler(self).items() if value is not None or key == "x"}


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Shut(BaseModel):
    model_config = ConfigDict(extra="forbid")


@dataclass
class Spot:
    x: int
    tags: list[str] = field(default_factory=list)


@pydantic.dataclasses.dataclass
class Checked:
    x: Annotated[int, Field(gt=0)]


class Window(TypedDict):
    width: int
    title: NotRequired[str]


class Coordinates(NamedTuple):
    x: int
    y: str = ""


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class RedThing(BaseModel):
    colour: Literal[Colour.RED] = Colour.RED
    x: int


class GreenThing(BaseModel):
    colour: Literal[Colour.GREEN]
    y: int


Thing = Annotated[RedThing | GreenThing, Field(discriminator="colour")]


class Rank(enum.IntEnum):
    FIRST = 1
    SECOND = 2


class Mixed(enum.Enum):
    TEXT = "text"
    NUMBER = 2


class Word(enum.StrEnum):
    YES = "yes"


class Places(BaseModel):
    """64-bit integers in every place."""

    plain: Int64
    maybe: Int64 | None = None
    many: list[Int64]
    pair: tuple[str, Int64, float]
    rest: tuple[Int64, ...]
    distinct: set[Int64]
    named: dict[str, Int64]
    keyed: dict[Int64, Int64]
    odd: Int64 = Field(alias="odd name.[x]")
    number: int = 7
    either: str | Int64 | None = None


ID = UUID("12345678-1234-5678-1234-567812345678")
MOMENT = datetime(2024, 2, 29, 12, 30, 0, 500_001, tzinfo=timezone(timedelta(hours=5, minutes=30)))

ROWS = [
    # models
    Row("model", Point, [Point(x=1, y=2.5)], "value.x === 1 && value.y === 2.5"),
    Row("nested", Line, [Line(start=Point(x=1), end=Point(x=2))], "value.end.x === 2"),
    Row(
        "recursive",
        Tree,
        [Tree(id=1, children=[Tree(id=2**60)], by_name={"a": Tree(id=3, children=[Tree(id=4)])})],
        'typeof value.id === "bigint" && value.by_name["a"]?.children[0]?.id === 4n',
    ),
    Row("mutually_recursive", Ping, [Ping(pong=Pong(ping=Ping()))], "value.pong?.ping?.pong === null"),
    Row("generic", Box[int], [Box[int](content=1, spare=2)], "value.content + 1 === 2"),
    Row(
        "generic_of_generic",
        Box[Box[str]],
        [Box[Box[str]](content=Box[str](content="a"))],
        'value.content.content === "a"',
    ),
    Row(
        "generic_of_int64",
        Box[Int64],
        [Box[Int64](content=5)],
        "value.content === 5n && value.spare === null",
    ),
    Row("inherited", Bird, [Bird(name="owl")], 'value.name === "owl" && value.can_fly'),
    Row(
        "aliased",
        Aliased,
        [Aliased(**{"display_name": "a", "content-type": "b", "a": 3})],
        'value.displayName === "a" && value["content-type"] === "b" && value.written === 3',
    ),
    Row("root_model", Names, [Names(["a"])], 'value[0] === "a"'),
    Row("root_model_of_mapping", ById, [ById({1: Point(x=2)}), ById({})], "value instanceof Map"),
    Row("dataclass", Spot, [Spot(1, ["a"])], 'value.tags[0] === "a"'),
    Row("pydantic_dataclass", Checked, [Checked(1)], "value.x === 1"),
    Row("typed_dict", Window, [{"width": 1}, {"width": 2, "title": "a"}], "value.width > 0"),
    Row("named_tuple", Coordinates, [Coordinates(1, "a")], 'value[0] === 1 && value[1] === "a"'),
    Row("extra_allowed", Open, [Open(name="a", more=[1, "b"])], 'Array.isArray(value["more"])'),
    Row("without_fields", Shut, [Shut()], "Object.keys(value).length === 0"),
    Row("computed_field", Circle, [Circle(radius=2)], "value.area === 12"),
    Row(
        "field_serializer",
        Written,
        [Written(tags=["a", "b"])],
        'value.tags === "a,b"',
        '{ tags: value.tags.split(",") }',
    ),
    Row("model_serializer", Whole, [Whole(x=1)], 'value["x"] === 1', '{ x: value["x"] ?? 0 }'),
    Row("wrap_serializer", Sparse, [Sparse(x=None), Sparse(x=1, y=2)], 'value.x === 1 || !("y" in value)'),
    # presence
    Row(
        "absences",
        Absences,
        [Absences(nullable=None), Absences(nullable=1, both="a", made=[1])],
        "value.defaulted === 3 && value.made.length < 2",
    ),
    Row("nullable", int | None, [None, 1], "value === null || value === 1"),
    Row("nothing", None, [None], "value === null"),
    # literals, enums, unions
    Row("literal", Literal["a", 1, True] | None, ["a", 1, True, None]),
    Row("enum", Colour, list(Colour), 'value === "red" || value === "green"'),
    Row("int_enum", Rank, list(Rank), "value === 1 || value === 2"),
    Row("mixed_enum", Mixed, list(Mixed), 'value === "text" || value === 2'),
    Row("str_enum", Word, list(Word), 'value === "yes"'),
    Row("literal_of_enum", Literal[Colour.RED], [Colour.RED], 'value === "red"'),
    Row("union", int | str | list[int], [1, "a", [1]]),
    Row("union_of_models", Point | Open, [Point(x=1), Open(name="a")]),
    Row("union_of_values", datetime | UUID | bytes, [MOMENT, ID, b"a"]),
    Row(
        "discriminated",
        Side,
        [Left(id=3), Right(kind="right", label="a")],
        'value.kind === "left" ? value.id === 3n : value.label === "a"',
    ),
    Row(
        "discriminated_list", list[Side], [[Left(id=3), Right(kind="right", label="a")]], "value.length === 2"
    ),
    Row(
        "discriminated_by_enum",
        Thing,
        [RedThing(x=1), GreenThing(colour=Colour.GREEN, y=2)],
        'value.colour === "red" ? value.x === 1 : value.y === 2',
    ),
    Row(
        "callable_discriminator",
        Sized,
        [Big(extent=11), Small(extent=1)],
        '"weight" in value || value.note === ""',
    ),
    # collections
    Row("list", list[list[int | None]], [[], [[1, None]]], "Array.isArray(value)"),
    Row("tuple", tuple[int, str], [(1, "a")], 'value[0] === 1 && value[1] === "a"'),
    Row("long_tuple", tuple[float, ...], [(), (1.5, 2.5)], "value.length % 2 === 0"),
    Row("empty_tuple", tuple[()], [()], "value.length === 0"),
    Row("set", set[str], [set(), {"a", "b"}], "value instanceof Set"),
    Row("frozenset", frozenset[tuple[int, str]], [frozenset([(1, "a")])], "value.size === 1"),
    Row("sequence", Sequence[int], [[1, 2]], "value[0] === 1"),
    Row("deque", collections.deque[int], [collections.deque([1, 2])], "value[0] === 1"),
    Row("mapping", dict[str, Point], [{}, {"a": Point(x=1)}], "!(value instanceof Map)"),
    Row("abstract_mapping", Mapping[str, int], [{"a": 1}], 'value["a"] === 1'),
    Row("mapping_from_enum", dict[Colour, int], [{Colour.RED: 1}], 'value["red"] === 1'),
    Row("mapping_from_literal", dict[Literal["a", "b"], int], [{"a": 1}], 'value["a"] === 1'),
    Row("mapping_from_path", dict[Path, int], [{Path("a/b"): 1}], 'value["a/b"] === 1'),
    Row("mapping_from_int", dict[int, str], [{}, {1: "a"}], "value instanceof Map && value.get(1) !== null"),
    Row("mapping_from_mixed", dict[int | str, bool], [{"a": True}, {1: True, "b": False}], "value.size > 0"),
    Row("mapping_from_uuid", dict[UUID, int], [{ID: 1}], "value.size === 1"),
    Row(
        "mapping_from_tuple",
        dict[tuple[int, int], str],
        [{(1, 2): "a"}],
        'value.values().next().value === "a"',
    ),
    Row(
        "mapping_from_date",
        dict[date, dict[int, int]],
        [{date(2024, 1, 1): {1: 2}, date(2024, 1, 2): {}}],
        "value.size === 2",
    ),
    Row("mapping_from_int_enum", dict[Rank, str], [{Rank.FIRST: "a"}], 'value.get(1) === "a"'),
    Row("counter", collections.Counter[str], [collections.Counter("aab")], 'value["a"] === 2'),
    Row(
        "ordered_dict",
        collections.OrderedDict[int, int],
        [collections.OrderedDict({1: 2})],
        "value.get(1) === 2",
    ),
    Row("default_dict", collections.defaultdict[str, list[int]], [{"a": [1]}], 'value["a"]?.[0] === 1'),
    # constrained
    Row("constrained_int", Annotated[int, Field(ge=0, lt=10, multiple_of=2)], [4], "value === 4"),
    Row(
        "constrained_text",
        Annotated[str, Field(min_length=1, max_length=3, pattern="^a")],
        ["abc"],
        'value === "abc"',
    ),
    Row("constrained_list", Annotated[list[int], MinLen(1), MaxLen(2)], [[1]], "value.length === 1"),
    Row("constrained_decimal", Annotated[Decimal, Field(max_digits=4, decimal_places=2)], [Decimal("1.25")]),
    Row("strict", Annotated[int, Field(strict=True)], [3], "value === 3"),
    # scalars
    Row("text", str, ["", "é😀", "a" * 1000], 'typeof value === "string"'),
    Row("truth", bool, [True, False], 'typeof value === "boolean"'),
    Row("bytes", bytes, [b"", b"\x00\xff"], "value instanceof Uint8Array"),
    Row("base64_bytes", pydantic.Base64Bytes, [b"aGk="], "value instanceof Uint8Array"),
    Row("integer", int, [0, -1, 2**53 - 1, -(2**53) + 1], "Number.isSafeInteger(value)"),
    Row("int64", Int64, [0, -1, 2**53, 2**63 - 1, -(2**63)], 'typeof value === "bigint"'),
    Row("uint64", UInt64, [0, 2**64 - 1], 'typeof value === "bigint"'),
    Row(
        "int64_everywhere",
        Places,
        [
            Places(
                plain=1,
                maybe=2,
                many=[3],
                pair=("a", 4, 5.0),
                rest=(6, 7),
                distinct={8},
                named={"n": 9},
                keyed={10: 11},
                **{"odd name.[x]": 12},
                either=13,
            )
        ],
        "value.plain === 1n && value.maybe === 2n && value.many[0] === 3n && value.pair[1] === 4n "
        "&& value.pair[2] === 5 && value.rest[1] === 7n && value.distinct.has(8n) && value.named['n'] === 9n "
        "&& value.keyed.get(10n) === 11n && value['odd name.[x]'] === 12n && value.number === 7 && value.either === 13n",
    ),
    Row("float", float, [0.0, 1.0, -1.5, 1e300, 5e-324], 'typeof value === "number"'),
    Row("float_nan", float, [float("nan")], "Number.isNaN(value)"),
    Row("float_infinite", list[float], [[float("inf"), float("-inf")]], "value[0] === Infinity"),
    Row(
        "datetime",
        datetime,
        [MOMENT, datetime(2024, 1, 1, tzinfo=UTC), datetime(1, 1, 1)],  # noqa: DTZ001 - without offset
        "value.toDate() instanceof Date",
    ),
    Row("aware_datetime", pydantic.AwareDatetime, [MOMENT], "value.hasOffset"),
    Row("date", date, [date(2024, 2, 29)], "value.month === 2"),
    Row("time", time, [time(1, 2, 3, 4), time(1, 2, tzinfo=UTC)], "value.hour === 1"),
    Row(
        "timedelta",
        timedelta,
        [timedelta(days=-1, microseconds=1), timedelta(weeks=500)],
        'typeof value.microseconds === "bigint"',
    ),
    Row(
        "decimal",
        Decimal,
        [Decimal("1.10"), Decimal("1E+3"), Decimal("-0")],
        'typeof value.toNumber() === "number"',
    ),
    Row("uuid", UUID, [ID], f'value.toString() === "{ID}"'),
    Row("path", Path, [Path("/a/b")], 'value === "/a/b"'),
    Row("pure_path", PurePosixPath, [PurePosixPath("a")], 'value === "a"'),
    Row("url", AnyUrl, [AnyUrl("https://a.example/b?c=d")], 'value.startsWith("https:")'),
    Row(
        "http_url",
        HttpUrl | None,
        [HttpUrl("http://a.example/"), None],
        'value === null || value.startsWith("http:")',
    ),
    Row("dsn", PostgresDsn, [PostgresDsn("postgres://u:p@h/d")], 'value.startsWith("postgres:")'),
    Row("ip_address", ipaddress.IPv4Address, [ipaddress.IPv4Address("127.0.0.1")], 'value === "127.0.0.1"'),
    Row("ip_network", ipaddress.IPv6Network, [ipaddress.IPv6Network("::/8")], 'value === "::/8"'),
    Row("any_ip", IPvAnyAddress, [ipaddress.IPv6Address("::1")], 'value === "::1"'),
    Row("regex", re.Pattern[str], [re.compile("a+")], "new RegExp(value).test('aa')"),
    Row("byte_size", ByteSize, [ByteSize(3000)], "value === 3000"),
    # typed arrays
    Row("int8_array", types.Int8Array, [array("b", [-1, 2])], "value instanceof Int8Array"),
    Row("uint8_array", types.UInt8Array, [array("B", [1, 255])], "value instanceof Uint8Array"),
    Row("int16_array", types.Int16Array, [array("h", [-300])], "value instanceof Int16Array"),
    Row("uint16_array", types.UInt16Array, [array("H", [60000])], "value instanceof Uint16Array"),
    Row("int32_array", types.Int32Array, [array("i", [-70000])], "value instanceof Int32Array"),
    Row("uint32_array", types.UInt32Array, [array("I", [2**32 - 1])], "value instanceof Uint32Array"),
    Row("int64_array", types.Int64Array, [array("q", [-(2**63)])], "value instanceof BigInt64Array"),
    Row("uint64_array", types.UInt64Array, [array("Q", [2**64 - 1])], "value instanceof BigUint64Array"),
    Row("float32_array", types.Float32Array, [array("f", [1.5])], "value instanceof Float32Array"),
    Row(
        "float64_array", types.Float64Array, [array("d", [0.1]), array("d")], "value instanceof Float64Array"
    ),
    # anything
    Row("any", Any, [None, 1, "a", [1, {"b": 2.5}], {1: 2}, MOMENT, {"x"}], "value !== undefined"),
    Row("any_mapping", dict[str, Any], [{"a": {"b": [1]}}], 'typeof value["a"] === "object"'),
    Row("bare_list", list, [[1, "a"]], "value.length === 2"),
    Row("bare_dict", dict, [{"a": 1}], 'value["a"] === 1'),
    Row("json", JsonValue, [None, 1, 2.5, "a", [1, {"b": [True]}]], 'typeof value !== "undefined"'),
    # metadata, validators, serializers
    Row(
        "annotated",
        Annotated[str, Field(description="A word.", examples=["a"]), "anything"],
        ["a"],
        'value === "a"',
    ),
    Row("after_validator", Annotated[str, AfterValidator(str.strip)], ["a"], 'value === "a"'),
    Row("before_validator", Annotated[int, BeforeValidator(lambda value: value)], [1], "value === 1"),
    Row(
        "plain_serializer",
        Annotated[int, PlainSerializer(lambda value: f"{value}", return_type=str)],
        [12],
        'value === "12"',
        "Number(value)",
    ),
    Row(
        "json_serializer",
        Annotated[int, PlainSerializer(lambda value: f"{value}", return_type=str, when_used="json")],
        [12],
        'value === "12"',
        "Number(value)",
    ),
]

SEEN = {row.name: row.seen for row in ROWS}
SENT = {row.name: row.sent for row in ROWS}

for _model in (Tree, Ping, Pong):
    _model.model_rebuild()

_make: Any = type
Rows: type[Contract] = _make(
    "Rows",
    (Contract,),
    {
        "__module__": __name__,
        "__qualname__": "Rows",
        "__doc__": "One call for each row.",
        "ready": Call(None, None, timeout=None),
        **{row.name: Call(row.form, row.form, served_by="client") for row in ROWS},
    },
    name="rows",
)
