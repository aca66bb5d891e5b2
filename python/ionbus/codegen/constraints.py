"""What a JSON Schema asks of a value beyond its type, as a sentence for people."""

from __future__ import annotations

import json

from ionbus.contract.schema import MARK, JsonSchema

__all__ = ["constraints"]

_FORMATS = {
    "directory-path": "The path of a folder that is there",
    "email": "An e-mail address",
    "file-path": "The path of a file that is there",
    "ipv4": "An IPv4 address",
    "ipv6": "An IPv6 address",
    "path": "A path",
    "regex": "A regular expression",
    "uri": "A URL",
}


def constraints(schema: JsonSchema) -> str:
    """Give the sentence, as `At least 1, less than 10.`, or "" where nothing is asked."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(options) == 1:
        return constraints(options[0])
    asked = []
    if schema.get("type") == "string" and schema.get("format") in _FORMATS:
        asked.append(_FORMATS[schema["format"]])
    if schema.get(MARK) != "int64":
        asked += _bounds(schema)
    if schema.get("type") == "string":
        unit = "bytes" if schema.get(MARK) == "bytes" else "characters"
        asked += _length(schema.get("minLength"), schema.get("maxLength"), unit)
    elif schema.get("type") == "array" and "prefixItems" not in schema:
        asked += _length(schema.get("minItems"), schema.get("maxItems"), "items")
    if "pattern" in schema:
        asked.append(f"matches `{schema['pattern']}`")
    text = ", ".join(asked)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _bounds(schema: JsonSchema) -> list[str]:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
        "multipleOf": "a multiple of",
    }
    return [f"{word} {json.dumps(schema[key])}" for key, word in words.items() if key in schema]


def _length(low: int | None, high: int | None, unit: str) -> list[str]:
    if low is None and high is None:
        return []
    if low is not None and high is not None and low != high:
        return [f"{low} to {high} {unit}"]
    number = low if high is None else high
    word = "" if low == high else "at most " if low is None else "at least "
    return [f"{word}{number} {unit[:-1] if number == 1 else unit}"]
