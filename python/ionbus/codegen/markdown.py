"""Writes a contract as a reference page: each event, call, stream and error with its fields and an example."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ionbus.codegen.model import (
    Alias,
    Array,
    Constant,
    ContractModel,
    Definition,
    Field,
    Mapping as MappingType,
    MemberModel,
    Plain,
    Reference,
    SetOf,
    Tuple,
    Type,
    Union,
)
from ionbus.contract.description import ContractDescription
from ionbus.contract.schema import MARK, Direction, JsonSchema

__all__ = ["write_markdown"]

_WORDS: Mapping[str, str] = {"truth": "true or false", "nothing": "null"}
_PUBLISHED = {
    "broker": "Published by the broker",
    "client": "Published by clients",
    "any": "Published by both sides",
}
_DELIVERY = {
    "session": "in order, exactly once while the session lives",
    "volatile": "dropped rather than queued where the receiver is behind",
    "latest": "only the newest",
}
_EXAMPLES: Mapping[str, str] = {
    "bytes": "(bytes)",
    "datetime": "2026-01-31T12:30:00Z",
    "date": "2026-01-31",
    "time": "12:30:00",
    "duration": "PT90S",
    "decimal": "12.50",
    "uuid": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
}
_PARTS = {
    "received": "Payload",
    "sent": "Payload",
    "request": "Request",
    "response": "Response",
    "item": "Item",
}
_MAX_DEPTH = 6


def write_markdown(model: ContractModel, contract: ContractDescription, head: str) -> dict[str, str]:
    """Give the contract's page, by the name of its file.

    Args:
        model: the contract's types.
        contract: the same with its schemas, for the examples.
        head: a comment for the first line.
    """
    members = list(_members(model))
    parts = [
        f"<!-- {head} -->",
        f"# {model.name} {model.version}",
        model.doc,
        f"Fingerprint `{model.fingerprint}`.",
    ]
    for kind, title in (("event", "Events"), ("call", "Calls"), ("stream", "Streams")):
        of_kind = [member for member in members if member.kind == kind]
        if of_kind:
            parts.append(f"## {title}")
            for member in of_kind:
                parts += _member(member, model, contract)
    if model.errors:
        parts.append("## Errors")
    for error in model.errors:
        users = ", ".join(f"`{member.wire_name}`" for member in members if error.name in member.raises)
        parts += [f"### {error.name}", error.doc or error.message, f"Code `{error.code}`. Raised by {users}."]
        parts += [_table(error.fields)] if error.fields else []
    if model.definitions:
        parts.append("## Types")
    for definition in model.definitions:
        parts += _definition(definition)
    return {f"{model.name}.md": "\n\n".join(part for part in parts if part) + "\n"}


def _members(model: ContractModel) -> Iterator[MemberModel]:
    yield from model.members
    for inner in model.nested:
        yield from _members(inner)


def _member(member: MemberModel, model: ContractModel, contract: ContractDescription) -> Iterator[str]:
    yield f"### {member.wire_name}"
    if member.deprecated:
        yield f"**Deprecated.** {member.deprecated}"
    yield member.doc
    if member.kind == "event":
        key = f" for each {_listed(member.key)}" if member.key else ""
        yield f"{_PUBLISHED[member.side]}. Delivery `{member.delivery}`: {_DELIVERY[member.delivery]}{key}."
    else:
        side = "the broker" if member.side == "broker" else "the client"
        limit = f"{member.timeout_ms / 1000:g} s" if member.timeout_ms is not None else "no limit"
        again = (
            " May be sent again when it is unknown whether it was carried out."
            if member.is_idempotent
            else ""
        )
        yield f"Served by {side}. Time-out: {limit}.{again}"
    yield member.restriction
    relative = member.wire_name.removeprefix(f"{model.name}.")
    for name, part in member.types.items():
        if name == "sent" and (member.side == "broker" or part == member.types["received"]):
            continue
        title = "Payload as it is sent" if name == "sent" else _PARTS[name]
        yield f"{title}: {_type(part)}"
        if part != Plain("nothing"):
            yield _example(contract, relative, name, member)
    if member.raises:
        yield f"Raises {', '.join(_link(name) for name in member.raises)}."


def _example(contract: ContractDescription, member: str, part: str, model: MemberModel) -> str:
    is_ours = model.side == "client"
    way: Direction
    if part in {"received", "sent"}:
        key, way = "payload", "serialization" if part == "received" else "validation"
    else:
        key, way = part, "validation" if (part == "request") != is_ours else "serialization"
    value = _Examples(contract.schema.definitions).of(contract.schema.payloads[member, key, way])
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def _definition(definition: Definition) -> Iterator[str]:
    yield f"### {definition.name}"
    yield definition.doc
    if definition.is_sent_form:
        yield f"As it is sent; what is received is {_link(definition.name.removesuffix('Input'))}."
    if isinstance(definition, Alias):
        yield _type(definition.type)
    elif definition.fields:
        yield _table(definition.fields)
    else:
        yield "No fields."


def _table(fields: Iterable[Field]) -> str:
    rows = ["| field | type | | |", "| --- | --- | --- | --- |"]
    for field in fields:
        state = (
            "required" if field.is_required else f"default `{field.default}`" if field.default else "optional"
        )
        doc = " ".join(field.doc.split()) + (" **Deprecated.**" if field.is_deprecated else "")
        cells = (f"`{field.name}`", _type(field.type), state, doc.strip())
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _type(part: Type) -> str:
    match part:
        case Plain(name):
            return _WORDS.get(name, name)
        case Constant(value=value):
            return f"`{json.dumps(value, ensure_ascii=False)}`"
        case Reference(name):
            return _link(name)
        case Array(item):
            return f"list of {_grouped(item)}"
        case SetOf(item):
            return f"set of {_grouped(item)}"
        case Tuple(items, rest):
            shown = [_type(item) for item in items] + ([f"{_type(rest)} …"] if rest is not None else [])
            return f"[{', '.join(shown)}]"
        case MappingType() as mapping:
            key = getattr(mapping, "key", None)
            return f"mapping from {'text' if key is None else _type(key)} to {_grouped(mapping.value)}"
        case Union(options):
            return " | ".join(_type(option) for option in options)


def _grouped(part: Type) -> str:
    return f"({_type(part)})" if isinstance(part, Union) else _type(part)


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


class _Examples:
    """Makes a value that fits a schema: its own example or default where it has one."""

    def __init__(self, definitions: Mapping[str, JsonSchema]) -> None:
        self._definitions = definitions

    def of(self, schema: Any, depth: int = 0) -> Any:
        if not isinstance(schema, dict):
            return None
        if schema.get("examples"):
            return schema["examples"][0]
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if "enum" in schema:
            return schema["enum"][0]
        if "$ref" in schema:
            return self.of(self._definitions.get(schema["$ref"].rpartition("/")[2], {}), depth + 1)
        for combined in ("anyOf", "oneOf", "allOf"):
            if schema.get(combined):
                # Deep inside, the option that ends: null, where there is one.
                options = schema[combined]
                return self.of(
                    {"type": "null"} if depth > _MAX_DEPTH and {"type": "null"} in options else options[0],
                    depth,
                )
        return self._of_type(schema, depth)

    def _of_type(self, schema: JsonSchema, depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            values = schema.get("additionalProperties")
            if "properties" not in schema and isinstance(values, dict) and depth <= _MAX_DEPTH:
                return {"key": self.of(values, depth + 1)}
            return {
                name: self.of(part, depth + 1)
                for name, part in schema.get("properties", {}).items()
                if depth <= _MAX_DEPTH or name in schema.get("required", ())
                if depth <= 2 * _MAX_DEPTH
            }
        if kind == "array":
            if "prefixItems" in schema:
                return [self.of(part, depth + 1) for part in schema["prefixItems"]]
            return [self.of(schema["items"], depth + 1)] if depth <= _MAX_DEPTH and "items" in schema else []
        if kind == "string":
            text = _EXAMPLES.get(str(schema.get(MARK)), "text")
            return text.ljust(schema.get("minLength", 0), "…")[: schema.get("maxLength")]
        if kind in {"integer", "number"}:
            low = schema.get("minimum", schema.get("exclusiveMinimum"))
            number = 1 if low is None else low + (0 if "minimum" in schema else 1)
            high = schema.get("maximum")
            number = high if high is not None and number > high else number
            return float(number) if kind == "number" else number
        return True if kind == "boolean" else None
