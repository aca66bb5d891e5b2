"""JSON Schemas to types of the model, and types under other names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ionbus.codegen.model import (
    Alias,
    Array,
    CodegenError,
    Constant,
    Definition,
    Mapping,
    Plain,
    PlainName,
    Reference,
    SetOf,
    Tuple,
    Type,
    Union,
)
from ionbus.contract.schema import KEYS, MARK, REFUSED, JsonSchema

DEFS = "#/$defs/"
_MARKED: dict[str, PlainName] = {
    "str": "text",
    "bytes": "bytes",
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "duration": "duration",
    "decimal": "decimal",
    "uuid": "uuid",
}
_ARRAYS: dict[str, PlainName] = {
    "int8array": "int8array",
    "uint8array": "uint8array",
    "int16array": "int16array",
    "uint16array": "uint16array",
    "int32array": "int32array",
    "uint32array": "uint32array",
    "int64array": "int64array",
    "uint64array": "uint64array",
    "float32array": "float32array",
    "float64array": "float64array",
}
_SCALARS: dict[str, PlainName] = {
    "integer": "number",
    "number": "number",
    "boolean": "truth",
    "null": "nothing",
}


def read_type(schema: JsonSchema, where: str) -> Type:
    """Read one JSON Schema; references keep the schema's own names.

    Args:
        schema: as pydantic wrote it.
        where: model and field, for the message.
    """
    if REFUSED in schema:
        raise CodegenError(f"{where}: {schema[REFUSED]}")
    if "$ref" in schema:
        return Reference(schema["$ref"].removeprefix(DEFS))
    if "const" in schema:
        return _constant(schema["const"], where)
    if "enum" in schema:
        return union(_constant(value, where) for value in schema["enum"])
    for combined in ("anyOf", "oneOf"):
        if combined in schema:
            return union(read_type(option, where) for option in schema[combined])
    if len(schema.get("allOf", ())) == 1:
        return read_type(schema["allOf"][0], where)
    kind = schema.get("type")
    if kind == "array":
        return _read_array(schema, where)
    if kind == "object":
        return _read_mapping(schema, where)
    return _read_scalar(schema, where)


def is_open(schema: JsonSchema, where: str) -> bool:
    """Whether an object may have fields that it does not name; they may be anything."""
    extra = schema.get("additionalProperties", False)
    if isinstance(extra, dict) and extra and "properties" in schema:
        raise CodegenError(
            f"{where}: it takes fields that it does not name, of a type of their own; "
            "put them in a field of type dict[str, …]"
        )
    return extra is not False


def _read_scalar(schema: JsonSchema, where: str) -> Type:
    kind = schema.get("type")
    if kind == "string":
        if schema.get("writeOnly", False):
            raise CodegenError(
                f"{where}: a {schema['format']} hides its value from whoever receives it; use str"
            )
        return Plain(_MARKED[schema.get(MARK, "str")])
    if schema.get(MARK) == "int64":
        return Plain("int64")
    if isinstance(kind, str) and kind in _SCALARS:
        return Plain(_SCALARS[kind])
    if kind is None:
        return Plain("any")
    raise CodegenError(f"{where}: {json.dumps(schema)} has no counterpart in TypeScript; use a model")


def _read_array(schema: JsonSchema, where: str) -> Type:
    if "prefixItems" in schema:
        items = tuple(read_type(item, where) for item in schema["prefixItems"])
        rest = schema.get("items")
        return Tuple(items, read_type(rest, where) if isinstance(rest, dict) else None)
    if "items" not in schema:
        if schema.get("maxItems") == 0:
            return Tuple(())
        return Array(Plain("any"))
    if schema.get(MARK) in _ARRAYS:
        return Plain(_ARRAYS[schema[MARK]])
    item = read_type(schema["items"], where)
    return SetOf(item) if schema.get(MARK) == "set" else Array(item)


def _read_mapping(schema: JsonSchema, where: str) -> Type:
    values = schema.get("additionalProperties")
    if values is None and len(schema.get("patternProperties", {})) == 1:
        (values,) = schema["patternProperties"].values()
    if "properties" in schema:
        raise CodegenError(f"{where}: an object without a name; make it a model")
    value = read_type(values, where) if isinstance(values, dict) else Plain("any")
    return Mapping(value, read_type(schema[KEYS], where) if schema.get(MARK) == "map" else None)


def _constant(value: Any, where: str) -> Type:
    if value is None or isinstance(value, (str, int, float, bool)):
        return Plain("nothing") if value is None else Constant(value, type(value).__name__)
    raise CodegenError(
        f"{where}: the constant {value!r} is neither text, number, truth nor None; use one of those"
    )


def union(options: Iterator[Type]) -> Type:
    """Join types, those of unions inside it included, each once; one that may be anything is all of it."""
    flat: dict[Type, None] = {}
    for option in options:
        flat.update(dict.fromkeys(option.options if isinstance(option, Union) else (option,)))
    if Plain("any") in flat:
        return Plain("any")
    return next(iter(flat)) if len(flat) == 1 else Union(tuple(flat))


def renamed(part: Type, names: dict[str, str]) -> Type:
    match part:
        case Reference(name):
            return Reference(names.get(name, name))
        case Array(item):
            return Array(renamed(item, names))
        case SetOf(item):
            return SetOf(renamed(item, names))
        case Mapping(value, key):
            return Mapping(renamed(value, names), None if key is None else renamed(key, names))
        case Tuple(items, rest):
            return Tuple(
                tuple(renamed(item, names) for item in items),
                None if rest is None else renamed(rest, names),
            )
        case Union(options):
            return union(renamed(option, names) for option in options)
        case Plain() | Constant():
            return part


def renamed_definition(definition: Definition, names: dict[str, str]) -> Definition:
    if isinstance(definition, Alias):
        return replace(definition, type=renamed(definition.type, names))
    return replace(
        definition, fields=tuple(replace(part, type=renamed(part.type, names)) for part in definition.fields)
    )


def anonymous(definition: Definition, names: dict[str, str]) -> Definition:
    """Give a definition as it compares with its other direction."""
    return replace(renamed_definition(definition, names), name="")
