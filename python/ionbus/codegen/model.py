"""A contract as plain data, from which every output is written: types, definitions, members, errors.

Nothing here knows Python's types or TypeScript's: a reader makes this model (`reader.py`), a writer reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "Alias",
    "Array",
    "CodegenError",
    "Constant",
    "ContractModel",
    "Definition",
    "ErrorModel",
    "Field",
    "Interface",
    "Mapping",
    "MemberModel",
    "Plain",
    "Reference",
    "SetOf",
    "Tuple",
    "Type",
    "Union",
    "parts",
    "references",
]

PlainName: TypeAlias = Literal[
    "text", "number", "truth", "nothing", "bytes", "datetime", "date", "time", "duration", "decimal", "uuid",
    "int64", "any", "int8array", "uint8array", "int16array", "uint16array", "int32array", "uint32array",
    "int64array", "uint64array", "float32array", "float64array",
]  # fmt: skip


class CodegenError(ValueError):
    """What was asked for cannot be generated; the message names the source, the field and what to do."""


@dataclass(frozen=True)
class Plain:
    """A type without parts."""

    name: PlainName


@dataclass(frozen=True)
class Constant:
    """The type of one value. `kind` is the value's type, since 1 and True are equal in Python."""

    value: str | int | float | bool
    kind: str


@dataclass(frozen=True)
class Array:
    """A list of items of one type."""

    item: Type


@dataclass(frozen=True)
class SetOf:
    """A set of items of one type."""

    item: Type


@dataclass(frozen=True)
class Tuple:
    """Items of a type each, then any number of `rest`."""

    items: tuple[Type, ...]
    rest: Type | None = None


@dataclass(frozen=True)
class Mapping:
    """A mapping from text, or from `key`."""

    value: Type
    key: Type | None = None


@dataclass(frozen=True)
class Union:
    """One of several types."""

    options: tuple[Type, ...]


@dataclass(frozen=True)
class Reference:
    """A definition, by its name."""

    name: str


Type: TypeAlias = "Plain | Constant | Array | SetOf | Tuple | Mapping | Union | Reference"


@dataclass(frozen=True)
class Field:
    """One field of an interface, spelled as it travels.

    Args:
        name: the spelling on the wire.
        type: the type of its values.
        is_required: whether it is always there.
        doc: what people should know, or "". Two fields that differ only in prose are equal.
        default: what stands for it where it is left out, as JSON; "" where there is none to tell.
        is_deprecated: whether it should no longer be used.
        constraints: what is asked of its values beyond their type, as a sentence, or "".
    """

    name: str
    type: Type
    is_required: bool
    doc: str = field(default="", compare=False)
    default: str = field(default="", compare=False)
    is_deprecated: bool = field(default=False, compare=False)
    constraints: str = field(default="", compare=False)


@dataclass(frozen=True)
class Interface:
    """A named set of fields.

    `is_sent_form`: what is received of this type has another form. `is_open`: it may have fields that it does not name.
    """

    name: str
    fields: tuple[Field, ...]
    doc: str = field(default="", compare=False)
    is_sent_form: bool = False
    is_open: bool = False


@dataclass(frozen=True)
class Alias:
    """A name for a type: an enum, a named union, a root model. `is_sent_form`: as of an interface."""

    name: str
    type: Type
    doc: str = field(default="", compare=False)
    is_sent_form: bool = False


Definition: TypeAlias = Interface | Alias


@dataclass(frozen=True)
class ErrorModel:
    """A declared error.

    Args:
        name: the class's name.
        code: its code on the wire.
        message: what it says unless told otherwise.
        fields: its fields, as they arrive.
        doc: the class's docstring.
    """

    name: str
    code: str
    message: str
    fields: tuple[Field, ...]
    doc: str


@dataclass(frozen=True)
class MemberModel:
    """An event, a call or a stream.

    Args:
        kind: which of the three.
        attribute: the name inside its contract, as declared.
        wire_name: the full name, e.g. "conductor.nodes.registered".
        side: who publishes an event, or who serves a call or a stream.
        types: as a client meets them: of an event `received` and `sent`, of a call `request` and `response`, of a
            stream `request` and `item`.
        delivery: of an event.
        key: of an event, spelled as on the wire.
        timeout_ms: of a call or a stream; None: for ever.
        raises: names of error classes.
        is_idempotent: of a call or a stream.
        doc: what people should know, or "".
        deprecated: why not to use it any more; "" if there is no reason not to.
        roles: who may use it; empty: everybody.
    """

    kind: Literal["event", "call", "stream"]
    attribute: str
    wire_name: str
    side: str
    types: dict[str, Type]
    delivery: str = "session"
    key: tuple[str, ...] = ()
    timeout_ms: int | None = None
    raises: tuple[str, ...] = ()
    is_idempotent: bool = False
    doc: str = ""
    deprecated: str = ""
    roles: tuple[str, ...] = ()

    @property
    def restriction(self) -> str:
        """Who may use it, as a sentence; "" for everybody."""
        names = [f"`{role}`" for role in self.roles]
        if len(names) > 1:
            return f"Only for the roles {', '.join(names[:-1])} and {names[-1]}."
        return f"Only for the role {names[0]}." if names else ""


@dataclass(frozen=True)
class ContractModel:
    """A contract and those inside it.

    Args:
        attribute: the name inside the contract around it; its own name for the outermost.
        name: the full name.
        version: the outermost contract's.
        fingerprint: the outermost contract's.
        doc: the class's docstring.
        members: its own members, in the order of their declaration.
        nested: the contracts directly inside it.
        definitions: every named type that is used in it, in the order of first use; of the outermost only.
        errors: every declared error, by first use; of the outermost only.
        description: the canonical one, as the JSON text that the fingerprint is made of; of the outermost only.
    """

    attribute: str
    name: str
    version: str
    fingerprint: str
    doc: str
    members: tuple[MemberModel, ...]
    nested: tuple[ContractModel, ...]
    definitions: tuple[Definition, ...] = ()
    errors: tuple[ErrorModel, ...] = ()
    description: str = ""


def parts(whole: Type | Definition) -> Iterator[Type]:
    """A type and those in it, or the types of a definition, in order; what is behind a reference is left out."""
    inner: tuple[Type, ...] = ()
    match whole:
        case Interface(fields=fields):
            inner = tuple(field.type for field in fields)
        case Array(part) | SetOf(part) | Alias(type=part):
            inner = (part,)
        case Mapping(value, key):
            inner = (value,) if key is None else (key, value)
        case Tuple(items, rest):
            inner = items if rest is None else (*items, rest)
        case Union(options):
            inner = options
        case Reference() | Plain() | Constant():
            pass
    if not isinstance(whole, (Interface, Alias)):
        yield whole
    for part in inner:
        yield from parts(part)


def references(whole: Type | Definition) -> Iterator[str]:
    """The names that a type or a definition refers to, in order."""
    return (part.name for part in parts(whole) if isinstance(part, Reference))
