"""Contracts whose types have gone wrong in other generators; what is made of them is used in types/*.ts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Discriminator
from typing_extensions import TypeAliasType

from ionbus import Call, Contract, Event, Int64, Stream


class Settings(BaseModel):
    """What the broker always sends in full, and a client may leave out in part."""

    name: str
    retries: int = 3
    tags: list[str] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


Pet = TypeAliasType("Pet", Annotated[Cat | Dog, Discriminator("kind")])


class Shapes(Contract, name="shapes", version="1.0"):
    """A little of what contracts are made of."""

    configured = Event(Settings)
    configure = Call(Settings, Settings)
    adopted = Event(Pet)
    adopt = Call(Pet, Pet)
    counted = Event(Int64)
    heard = Event(str, source="client")
    history = Stream(int, Settings)
    upload = Stream(str, bytes, served_by="client")

    class inner(Contract):  # noqa: N801 - its name on the wire
        pinged = Event(None)


class Digits(Contract, name="digits", version="1.0"):
    """Integers on their way to TypeScript and back."""

    ready = Call(None, None)
    wide = Call(Int64, Int64, served_by="client")
    many = Call(dict[str, list[Int64]], dict[str, list[Int64]], served_by="client")
    plain = Call(int, int, served_by="client")
    doubled = Call(int, int, served_by="client", doc="By JavaScript's arithmetic.")
