"""What one schema says, as far as the comparison of two wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ionbus.contract.evolution.changes import Json
from ionbus.contract.schema import MARK, REFUSED

UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
EXACT = ("pattern", "multipleOf", "uniqueItems", "format", "propertyNames", "patternProperties")
PROSE = frozenset({"title", "description", "examples", "deprecated", "$comment", "readOnly", "writeOnly"})
KEYS = f"{MARK}-keys"
KNOWN = frozenset(
    {
        *(*UPPER, *LOWER, *EXACT, *PROSE),
        *("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "discriminator", "default", MARK),
        *("properties", "required", "additionalProperties", "items", "prefixItems", "$defs", KEYS),
    }
)
SCALARS = {str: "str", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def name_of(reference: str) -> str:
    return reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")


def weight_of(schema: Any) -> int:
    """How much there is to look at in one schema, but for what is below its fields."""
    return len(schema) + len(schema.get("properties", ())) + len(schema.get("enum", ()))


def values_of(schema: Any) -> list[Any] | None:
    """The values of an enum or a literal, or None."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return list(values) if values is not None else None


def kind_of(schema: Any) -> str:
    """What a value is, roughly."""
    mark = schema.get(MARK)
    if mark == "json" or not {*schema} - PROSE - {"default"}:
        return "anything"
    if mark is not None and mark != "str":
        return str(mark)
    if REFUSED in schema:
        return f"refused: {schema[REFUSED]}"
    kind = schema.get("type", "object" if "properties" in schema else "unknown")
    if kind == "string":
        return "str"
    if kind == "array":
        return "tuple" if "prefixItems" in schema else "array"
    if kind == "object" and "properties" not in schema:
        return "mapping"
    return str(kind)


def named(schema: Any) -> str:
    """What a schema is called in a message."""
    kind = kind_of(schema)
    if kind == "object":
        tags = tags_of(schema)
        fields = ", ".join(schema.get("properties", ())) or "nothing"
        return "object with " + (", ".join(f"{name} {value}" for name, value in tags) or fields)
    if kind == "array" and isinstance(schema.get("items"), dict) and "type" in schema["items"]:
        return f"array of {kind_of(schema['items'])}"
    return kind


def tags_of(schema: Any) -> list[tuple[str, str]]:
    """The fields of an object that have one possible value: they tell it from others of a union."""
    properties: Json = schema.get("properties", {})
    return [
        (name, written(field["const"]))
        for name, field in properties.items()
        if isinstance(field, dict) and "const" in field
    ]


def likeness(schema: Any) -> object:
    """Equal for two options of unions that are likely to be the same one, changed."""
    kind = kind_of(schema)
    return (kind, tuple(tags_of(schema))) if kind == "object" else kind


def are_told_apart(one: list[tuple[str, str]], other: Mapping[str, str]) -> bool:
    """Whether a field with one possible value tells two objects apart, by the tags of both."""
    return any(other.get(name, value) != value for name, value in one)


def together(options: list[Any], values: list[Any]) -> str:
    """A whole type in a message."""
    names = [named(option) for option in options]
    return " | ".join([*names, f"one of {', '.join(map(written, values))}"] if values else names)


def takes(schema: Any, value: Any) -> bool:
    """Whether a single value fits a schema that is no union."""
    kind = kind_of(schema)
    if kind == "anything":
        return True
    own = SCALARS.get(type(value))
    if own != kind and (own, kind) != ("integer", "number"):
        return False
    size = len(value) if isinstance(value, str) else 0
    is_long_enough = schema.get("minLength", 0) <= size <= schema.get("maxLength", size)
    return is_long_enough and not any(word in schema for word in ("pattern", "format"))


def default_of(options: list[Any]) -> str:
    return next((written(option["default"]) for option in options if "default" in option), "")


def written(value: Any) -> str:
    return "null" if value is None else repr(value) if not isinstance(value, bool) else str(value).lower()


def bound(value: Any) -> str:
    return "none" if value is None else str(value)


def unknown_words(schema: Any) -> dict[str, Any]:
    """What a schema says that no rule here knows."""
    return {
        word: value
        for word, value in schema.items()
        if word not in KNOWN and (not word.startswith("x-") or word.startswith(MARK))
    }
