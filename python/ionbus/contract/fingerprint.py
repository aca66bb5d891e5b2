"""A contract's canonical description and its fingerprint (docs/protocol.md, section 11).

The description holds what the two sides must agree on and nothing else: no docs, titles, time-outs or versions, so that
a comment does not change it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ionbus.contract.schema import contract_schema

if TYPE_CHECKING:
    from ionbus.contract.contract import ContractInfo
    from ionbus.contract.members import Member

__all__ = ["canonical_json", "describe", "fingerprint"]

_PROSE = frozenset({"title", "description", "examples", "deprecated", "$comment"})
_VALUES = frozenset({"const", "default", "enum"})
_NAMED = frozenset({"properties", "patternProperties", "$defs"})


def fingerprint(contract: ContractInfo) -> str:
    """Give the first 32 hexadecimal digits of the SHA-256 of the contract's canonical description."""
    return hashlib.sha256(canonical_json(describe(contract))).hexdigest()[:32]


def canonical_json(description: dict[str, Any]) -> bytes:
    """Write a description as the one JSON text that stands for it: keys sorted, no spaces, UTF-8."""
    return json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def describe(contract: ContractInfo) -> dict[str, Any]:
    """Give the contract's canonical description, as plain data."""
    schema = contract_schema(contract)
    members: dict[str, Any] = {
        name: {
            **_traits(member),
            **{
                part: {
                    "sent": _without_prose(schema.payloads[name, part, "validation"]),
                    "received": _without_prose(schema.payloads[name, part, "serialization"]),
                }
                for part in member.payloads
            },
        }
        for name, member in contract.members.items()
    }
    return {
        "name": contract.name,
        "members": members,
        "errors": {
            code: {
                "sent": _without_prose(schema.errors[code, "validation"]),
                "received": _without_prose(schema.errors[code, "serialization"]),
            }
            for code in contract.errors
        },
        "$defs": {name: _without_prose(definition) for name, definition in schema.definitions.items()},
    }


def _traits(member: Member) -> dict[str, Any]:
    from ionbus.contract.members import Call, Event, Stream  # noqa: PLC0415 - members import this module's users

    if isinstance(member, Event):
        return {
            "kind": "event",
            "source": member.source,
            "delivery": member.delivery,
            "key": list(member.wire_key),
        }
    assert isinstance(member, (Call, Stream))
    return {
        "kind": member.kind,
        "served_by": member.served_by,
        "raises": sorted(error.code for error in member.raises),
    }


def _without_prose(schema: Any) -> Any:
    """Drop what only people read from a JSON Schema; names of properties stay, whatever they are."""
    if isinstance(schema, dict):
        return {key: _part_without_prose(key, value) for key, value in schema.items() if key not in _PROSE}
    if isinstance(schema, list):
        return [_without_prose(part) for part in schema]
    return schema


def _part_without_prose(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _NAMED:
        return {name: _without_prose(part) for name, part in value.items()}
    return _without_prose(value)
