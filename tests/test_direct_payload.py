"""Payloads that become plain data as they are validated: their bytes are those of the usual way, which has the last word."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from ionbus import Call, Contract, Int64
from ionbus.contract.payload import Payload
from ionbus.dispatch.handlers import make_handler
from ionbus.errors import InvalidPayload
from ionbus.wire.values import encode


class Level(Enum):
    LOW = "low"


class Rank(IntEnum):
    FIRST = 1


class Word(StrEnum):
    YES = "yes"


class Meta(BaseModel):
    attempt: int
    queue: list[int] = []


class Progress(BaseModel):
    node: str
    progress: float = Field(ge=0, le=100)
    state: Literal["queued", "executing"] = "queued"
    message: str | None = None
    meta: Meta
    before: Meta | None = None


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, str_strip_whitespace=True)

    node_id: str
    started_at: datetime = Field(serialization_alias="since")
    read_as: int = Field(validation_alias="anotherName", default=3)


class Leaves(BaseModel):
    flag: bool
    data: bytes
    day: date
    at: time
    took: timedelta
    id: UUID
    level: Level
    rank: Rank
    word: Word
    mixed: str | float | None
    counts: dict[str, int]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: int = Field(gt=0)


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Home(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


PROGRESS = Progress(node="a", progress=42.5, meta=Meta(attempt=1, queue=[3, 1]), before=Meta(attempt=0))
LEAVES = Leaves(
    flag=True,
    data=b"\x00\xff",
    day=date(2026, 2, 3),
    at=time(4, 5),
    took=timedelta(seconds=1.5),
    id=UUID(int=7),
    level=Level.LOW,
    rank=Rank.FIRST,
    word=Word.YES,
    mixed=1.5,
    counts={"a": 1},
)
ALIASED = Aliased.model_construct(node_id=" a ", started_at=datetime(2026, 1, 2, tzinfo=UTC), read_as=4)

DIRECT: list[tuple[Any, object]] = [
    (Progress, PROGRESS),
    (Leaves, LEAVES),
    (Aliased, ALIASED),
    (Closed, Closed(x=1)),
    (Home, Home(pet=Dog())),
    (list[Meta], [Meta(attempt=1), Meta(attempt=2)]),
    (Meta | None, None),
    (dict[str, Meta], {"a": Meta(attempt=1)}),
    (int, 2**53 - 1),
    (str, "é"),
    (None, None),
]


@pytest.mark.parametrize(
    ("form", "value"), DIRECT, ids=[getattr(form, "__name__", str(form)) for form, _ in DIRECT]
)
def test_the_bytes_are_those_of_the_validated_instances_dump(form: Any, value: object) -> None:
    payload: Payload[Any] = Payload(form)
    assert payload.is_direct
    assert payload.encode(value) == encode(payload.dump(value))


class WithPrivate(BaseModel):
    x: int
    _seen: list[str] = PrivateAttr(default_factory=list)


class WithComputed(BaseModel):
    x: int

    @computed_field  # type: ignore[prop-decorator] # mypy knows no decorated property
    @property
    def double(self) -> int:
        return 2 * self.x


class WithValidator(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def anything(cls, value: int) -> int:
        return 2**60 + value


class WithModelValidator(BaseModel):
    x: int

    @model_validator(mode="after")
    def anything(self) -> "WithModelValidator":
        return self


class WithSerializer(BaseModel):
    x: int

    @field_serializer("x")
    def text(self, value: int) -> str:
        return str(value)


class Excluding(BaseModel):
    x: int = Field(exclude=True)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    x: int


class Tree(BaseModel):
    children: list["Tree"] = []


class Either(BaseModel):
    one: Cat | dict[str, int]


class Unhappy(BaseModel):
    x: Annotated[int, Field(gt=-(2**60))]


NOT_DIRECT: list[Any] = [
    *(
        WithPrivate,
        WithComputed,
        WithValidator,
        WithModelValidator,
        WithSerializer,
        Excluding,
        Open,
        Tree,
        Either,
    ),
    *(Unhappy, RootModel[int], Any, dict[int, str], int | str, Int64, Path, set[int], dict[str, Any], bytes),
]


@pytest.mark.parametrize(
    "form", NOT_DIRECT, ids=[getattr(form, "__name__", str(form)) for form in NOT_DIRECT]
)
def test_types_of_which_not_all_is_known_beforehand_go_the_usual_way(form: Any) -> None:
    assert not Payload(form).is_direct


def _with_more(closed: Closed) -> Closed:
    closed.__dict__["y"] = 2
    return closed


def _changed(change: Callable[[Progress], object]) -> Progress:
    progress = PROGRESS.model_copy(deep=True)
    change(progress)
    return progress


@pytest.mark.parametrize(
    ("form", "value", "problem"),
    [
        (Progress, _changed(lambda it: it.__dict__.update(progress=101.0)), "progress: Input should be less"),
        (Progress, _changed(lambda it: it.meta.queue.append(2**53)), r"meta.queue\[2\]: an integer outside"),
        (Progress, _changed(lambda it: it.__dict__.update(node="\ud800")), "node: "),
        (Progress, _changed(lambda it: it.__dict__.pop("node")), "node: Field required"),
        (Progress, PROGRESS.model_dump() | {"state": "gone"}, "state: Input should be 'queued'"),
        (Closed, _with_more(Closed(x=1)), "y: Extra inputs are not permitted"),
        (dict[str, int], {"__proto__": 1}, "__proto__"),
    ],
    ids=["bound", "large integer", "lone surrogate", "missing", "a dict", "extra", "__proto__"],
)
def test_what_is_refused_is_refused_with_its_path(form: Any, value: object, problem: str) -> None:
    payload: Payload[Any] = Payload(form)
    assert payload.is_direct
    with pytest.raises(InvalidPayload, match=problem):
        payload.encode(value)


def test_what_is_no_instance_goes_the_usual_way() -> None:
    payload = Payload(Progress)
    assert payload.encode({"node": "a", "progress": "42.5", "meta": {"attempt": 1}}) == payload.encode(
        Progress(node="a", progress=42.5, meta=Meta(attempt=1))
    )


def test_an_instance_of_a_subclass_travels_as_its_base() -> None:
    class Longer(Meta):
        more: str = "x"

    payload = Payload(Meta)
    assert payload.encode(Longer(attempt=1)) == payload.encode(Meta(attempt=1))


class Work(Contract, name="work", version="1.0"):
    """A call whose answer needs one step."""

    echo = Call(Meta, Meta)


def test_a_handler_that_was_registered_before_the_first_use_answers_in_one_step() -> None:
    async def echo(meta: Meta) -> Meta:
        return meta

    handler = make_handler(Work.echo, echo)
    assert Work.echo.response.is_direct
    assert handler.answer.encode == Work.echo.response.encode != handler.answer._encode
