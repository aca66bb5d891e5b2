"""A contract's schemas as the document has them, and back; and the words that writer and reader share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ionbus.contract.schema import Direction

DEFS = "#/$defs/"
SCHEMAS = "#/components/schemas/"
VALUES = frozenset({"const", "default", "enum", "examples", "required"})
"""Keywords whose values are no schemas."""
NAMED = frozenset({"properties", "patternProperties", "$defs"})
"""Keywords whose values are schemas by name."""
USUAL_TIMEOUT_MS: Mapping[str, int | None] = {"call": 30_000, "stream": None, "event": None}
OTHER: Mapping[str, str] = {"sent": "received", "received": "sent"}
WORDS: Mapping[Direction, str] = {"validation": "sent", "serialization": "received"}


def outward(schema: Any) -> Any:
    """As the document has it: definitions under components, the discriminator a word."""

    def keyword(part: dict[str, Any]) -> dict[str, Any]:
        tag = part.get("discriminator")
        if not isinstance(tag, dict):
            return part
        mapping = {name: _moved(target, DEFS, SCHEMAS) for name, target in tag.get("mapping", {}).items()}
        return {
            **part,
            "discriminator": tag["propertyName"],
            **({"x-ionbus-mapping": mapping} if "mapping" in tag else {}),
        }

    return _walk(schema, lambda target: _moved(target, DEFS, SCHEMAS), keyword)


def inward(schema: Any) -> Any:
    """As a contract has it."""

    def keyword(part: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(part.get("discriminator"), str):
            return part
        part = dict(part)
        tag: dict[str, Any] = {"propertyName": part["discriminator"]}
        if "x-ionbus-mapping" in part:
            tag["mapping"] = {
                name: _moved(target, SCHEMAS, DEFS) for name, target in part.pop("x-ionbus-mapping").items()
            }
        return {**part, "discriminator": tag}

    return _walk(schema, lambda target: _moved(target, SCHEMAS, DEFS), keyword)


def _moved(target: str, old: str, new: str) -> str:
    return new + target.removeprefix(old) if target.startswith(old) else target


def _walk(
    schema: Any, reference: Callable[[str], str], keyword: Callable[[dict[str, Any]], dict[str, Any]]
) -> Any:
    """Copy a schema with its references and its discriminators changed."""
    if isinstance(schema, list):
        return [_walk(part, reference, keyword) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for name, value in keyword(schema).items():
        if name == "$ref" and isinstance(value, str):
            copy[name] = reference(value)
        elif name in VALUES or name in {"discriminator", "x-ionbus-mapping"}:
            copy[name] = value
        elif name in NAMED and isinstance(value, dict):
            copy[name] = {inner: _walk(part, reference, keyword) for inner, part in value.items()}
        else:
            copy[name] = _walk(value, reference, keyword)
    return copy
