"""A contract as plain data, whatever it was written in: classes (`describe_contract`) or a file (`codegen/asyncapi`).

Everything that is made from a contract is made from this: its fingerprint, the generated code, the documents.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ionbus.contract.schema import ContractSchema, JsonSchema, contract_schema

if TYPE_CHECKING:
    from ionbus.contract.contract import ContractInfo
    from ionbus.contract.members import Member

__all__ = [
    "ContractDescription",
    "ErrorDescription",
    "MemberDescription",
    "canonical_json",
    "describe_contract",
]

PARTS: Mapping[str, tuple[str, ...]] = {
    "event": ("payload",),
    "call": ("request", "response"),
    "stream": ("request", "item"),
}
"""What travels for each kind of member."""

_PROSE = frozenset({"title", "description", "examples", "deprecated", "$comment"})
_VALUES = frozenset({"const", "default", "enum"})
_NAMED = frozenset({"properties", "patternProperties", "$defs"})


@dataclass(frozen=True)
class MemberDescription:
    """An event, a call or a stream.

    Args:
        kind: which of the three.
        name: below its contract, e.g. "nodes.registered".
        side: who publishes an event, or who serves a call or a stream.
        delivery: of an event.
        key: of an event, spelled as on the wire.
        timeout_ms: of a call or a stream; None: for ever.
        raises: codes of declared errors.
        is_idempotent: of a call or a stream.
        doc: what people should know, or "".
        deprecated: whether it should no longer be used, or what to use instead.
        roles: who may use it, in alphabetical order; empty: everybody.
    """

    kind: Literal["event", "call", "stream"]
    name: str
    side: str
    delivery: str = "session"
    key: tuple[str, ...] = ()
    timeout_ms: int | None = None
    raises: tuple[str, ...] = ()
    is_idempotent: bool = False
    doc: str = ""
    deprecated: bool | str = False
    roles: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """What travels for it: payload, or request and response, or request and item."""
        return PARTS[self.kind]


@dataclass(frozen=True)
class ErrorDescription:
    """A declared error: its class's name, its code on the wire, its class's docstring."""

    name: str
    code: str
    doc: str = ""

    @property
    def message(self) -> str:
        """What it says unless told otherwise."""
        return self.doc.split("\n", 1)[0] or self.code.replace("_", " ")


@dataclass(frozen=True)
class ContractDescription:
    """An outermost contract and those inside it.

    Args:
        name: the name on the wire, e.g. "conductor".
        version: up to three numbers.
        doc: the class's docstring, or "".
        members: every event, call and stream, those of contracts inside included, in the order of declaration.
        schema: the JSON Schemas of what travels, by member and part, and of the errors' fields, in both directions.
        nested: the docs of the contracts inside, by their names below this one, each after the one around it.
        errors: every declared error, in the order of first use.
    """

    name: str
    version: str
    doc: str
    members: tuple[MemberDescription, ...]
    schema: ContractSchema
    nested: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[ErrorDescription, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """The first 32 hexadecimal digits of the SHA-256 of the canonical description."""
        return hashlib.sha256(canonical_json(self.canonical())).hexdigest()[:32]

    def canonical(self) -> dict[str, Any]:
        """Give what the two sides must agree on, and nothing else: no docs, titles, time-outs, roles or versions."""
        schema = self.schema
        return {
            "name": self.name,
            "members": {
                member.name: {
                    **_traits(member),
                    **{
                        part: _both(
                            schema.payloads[member.name, part, "validation"],
                            schema.payloads[member.name, part, "serialization"],
                        )
                        for part in member.parts
                    },
                }
                for member in self.members
            },
            "errors": {
                error.code: _both(
                    schema.errors[error.code, "validation"], schema.errors[error.code, "serialization"]
                )
                for error in self.errors
            },
            "$defs": {name: without_prose(definition) for name, definition in schema.definitions.items()},
        }


def describe_contract(contract: ContractInfo) -> ContractDescription:
    """Give a contract class's description, from `Conductor.__contract__`."""
    return ContractDescription(
        contract.name,
        contract.version,
        contract.doc,
        tuple(_describe_member(name, member) for name, member in contract.members.items()),
        contract_schema(contract),
        dict(_nested_docs(contract, "")),
        tuple(
            ErrorDescription(error.__name__, code, inspect.cleandoc(error.__dict__.get("__doc__") or ""))
            for code, error in contract.errors.items()
        ),
    )


def canonical_json(description: dict[str, Any]) -> bytes:
    """Write a description as the one JSON text that stands for it: keys sorted, no spaces, UTF-8."""
    return json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def without_prose(schema: Any) -> Any:
    """Drop what only people read from a JSON Schema; names of properties stay, whatever they are."""
    if isinstance(schema, dict):
        return {key: _part_without_prose(key, value) for key, value in schema.items() if key not in _PROSE}
    if isinstance(schema, list):
        return [without_prose(part) for part in schema]
    return schema


def _part_without_prose(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _NAMED:
        return {name: without_prose(part) for name, part in value.items()}
    return without_prose(value)


def _both(sent: JsonSchema, received: JsonSchema) -> dict[str, Any]:
    return {"sent": without_prose(sent), "received": without_prose(received)}


def _traits(member: MemberDescription) -> dict[str, Any]:
    if member.kind == "event":
        return {
            "kind": "event",
            "source": member.side,
            "delivery": member.delivery,
            "key": list(member.key),
        }
    return {"kind": member.kind, "served_by": member.side, "raises": sorted(member.raises)}


def _describe_member(name: str, member: Member) -> MemberDescription:
    from ionbus.contract.members import Call, Event, Stream  # noqa: PLC0415 - they use this module

    if isinstance(member, Event):
        return MemberDescription(
            "event",
            name,
            member.source,
            delivery=member.delivery,
            key=member.wire_key,
            doc=member.doc,
            deprecated=member.deprecated,
            roles=tuple(sorted(member.roles)),
        )
    assert isinstance(member, (Call, Stream))
    return MemberDescription(
        member.kind,
        name,
        member.served_by,
        timeout_ms=None if member.timeout is None else round(member.timeout * 1000),
        raises=tuple(error.code for error in member.raises),
        is_idempotent=member.idempotent,
        doc=member.doc,
        deprecated=member.deprecated,
        roles=tuple(sorted(member.roles)),
    )


def _nested_docs(contract: ContractInfo, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, inner in contract.nested.items():
        found.append((f"{prefix}{name}", inner.doc))
        found += _nested_docs(inner, f"{prefix}{name}.")
    return found
