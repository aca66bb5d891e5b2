"""A contract with a bit of everything that the generator can write."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Generic, Literal, NotRequired, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field
from pydantic.alias_generators import to_camel
from typing_extensions import TypeAliasType, TypedDict

from ionbus.contract.contract import Call, Contract, ContractError, Event, Stream

T = TypeVar("T")


class Level(Enum):
    """How much it matters."""

    LOW = "low"
    HIGH = "high"


class Rank(IntEnum):
    FIRST = 1
    SECOND = 2


class Scalars(BaseModel):
    """Every type without parts."""

    text: str
    whole: int
    fraction: float
    truth: bool
    nothing: None
    binary: bytes
    at: datetime
    day: date
    clock: time
    lasting: timedelta
    price: Decimal
    id: UUID
    level: Level
    rank: Rank
    word: Literal["a", 1, True]


class Duration(BaseModel):
    """A model that is called like one of the package's own types."""

    length: timedelta


class Parts(BaseModel):
    """Every type with parts."""

    many: list[str]
    grid: list[list[int | None]]
    pair: tuple[int, str]
    run: tuple[float, ...]
    distinct: set[str]
    by_name: dict[str, Duration]
    either: int | str | None


class Optionals(BaseModel):
    """Optional, nullable and defaulted are three things.

    This one has them all; */ does not end it.
    """

    nullable: int | None
    defaulted: int = Field(default=3, description="How often.")
    both: str | None = None
    old: str = Field(default="", deprecated=True)


class Base(BaseModel):
    id: str


class Derived(Base):
    model_config = ConfigDict(alias_generator=to_camel)

    display_name: str
    content_type: Annotated[str, Field(alias="content-type")]


class Tree(BaseModel):
    """A recursive model that is the same both ways."""

    value: int
    children: list["Tree"]


class Branch(BaseModel):
    """A recursive model with a default, which makes two of it."""

    leaves: list["Branch"] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = []


Pet = TypeAliasType("Pet", Annotated[Cat | Dog, Field(discriminator="kind")])


class Owner(BaseModel):
    """Holds the union by its name."""

    pet: Pet
    others: list[Pet]


class Page(BaseModel, Generic[T]):
    items: list[T]


class Names(RootModel[list[str]]):
    """A model around a list."""


class Circle(BaseModel):
    radius: float

    @computed_field(description="In the radius's unit, squared.")  # type: ignore[prop-decorator]
    @property
    def area(self) -> float:
        return 3 * self.radius**2


@dataclass
class Point:
    x: int
    y: int = 0


class Window(TypedDict):
    width: int
    title: NotRequired[str]


class Empty(BaseModel):
    pass


class NotFoundHere(ContractError):
    """It is not here.

    Look elsewhere.
    """

    code = "gone"
    where: Point
    tried: list[str] = []  # noqa: RUF012


class Busy(ContractError):
    code = "busy"


class Showcase(Contract, name="showcase", version="2.1"):
    """Everything that can be written."""

    scalars = Event(Scalars)
    parts = Event(Parts, delivery="volatile")
    optionals = Event(Optionals, source="any", roles={"editor"}, doc="Travels both ways.")
    derived = Event(Derived, source="client", delivery="latest", key=("id", "display_name"))
    tree = Event(Tree)
    number = Event(int, deprecated="Use numbers.")
    numbers = Stream(None, int, idempotent=True)
    branch = Call(Branch, Branch, timeout=1.5, raises=[NotFoundHere, Busy])
    adopt = Call(Pet, Owner, timeout=None)
    page_of = Call(Page[Cat], Page[Duration], served_by="client")
    names = Stream(Names, Circle, timeout=60, served_by="client", raises=[Busy])
    point = Call(Point, Window)
    delete = Call(None, Empty, idempotent=True, roles={"owner", "admin"})
    call = Call(None, None, deprecated=True)

    class sub_part(Contract):  # noqa: N801
        """A contract inside."""

        event = Event(dict[str, bytes])

        class deeper(Contract):  # noqa: N801
            ping = Call(None, None)
