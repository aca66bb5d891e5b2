"""Example values of models that we did not write, made from their JSON Schemas."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

_TEXTS = {
    "email": "someone@a.example",
    "date-time": "2024-02-29T12:30:00Z",
    "date": "2024-02-29",
    "time": "12:30:00Z",
    "duration": "P1DT1S",
    "uuid": "12345678-1234-5678-1234-567812345678",
    "binary": "bytes",
    "path": "/a/b",
    "base64": "aGk=",
    "base64url": "aGk=",
}
_MAX_DEPTH = 6


def samples(form: Any) -> list[Any]:
    """Give values of a type: one with as little as possible, one with everything that it names, one for each option."""
    adapter: TypeAdapter[Any] = TypeAdapter(form)
    schema = adapter.json_schema(by_alias=True)
    found: list[Any] = []
    for uri in ("https://a.example/b", "file:///a/b"):  # some take one, some the other
        sampler = _Sampler(schema.get("$defs", {}), uri)
        for option in (schema, *sampler.options(schema)):
            for is_full in (False, True):
                draft = sampler.sample(option, 0, is_full=is_full)
                with suppress(ValidationError):  # a validator asks for more than its schema says
                    value = adapter.validate_python(draft, by_alias=True, by_name=True)
                    if value not in found:
                        found.append(value)
    return found


class _Sampler:
    def __init__(self, definitions: dict[str, Any], uri: str) -> None:
        self._definitions = definitions
        self._uri = uri

    def options(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        schema = self._resolved(schema)
        return list(schema.get("anyOf") or schema.get("oneOf") or [])

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema

    def sample(self, schema: dict[str, Any], depth: int, *, is_full: bool) -> Any:
        schema = self._resolved(schema)
        is_full = is_full and depth < _MAX_DEPTH
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][-1 if is_full else 0]
        if options := self.options(schema):
            with_null = [option for option in options if option.get("type") == "null"]
            if with_null and not is_full:
                return None
            return self.sample(
                next(each for each in options if each not in with_null), depth, is_full=is_full
            )
        match schema.get("type"):
            case "string":
                if schema.get("format") == "uri":
                    return self._uri
                text = "/text" if schema.get("pattern", "").startswith("^(/") else "text"
                text = _TEXTS.get(schema.get("format", ""), text)
                return text + "a" * max(0, schema.get("minLength", 0) - len(text))
            case "integer":
                return max(schema.get("minimum", 3), schema.get("exclusiveMinimum", 2) + 1)
            case "number":
                return min(schema.get("minimum", 0) + 0.5, schema.get("maximum", 1e9))
            case "boolean":
                return is_full
            case "null":
                return None
            case "array":
                return self._array(schema, depth, is_full=is_full)
            case "object":
                return self._object(schema, depth, is_full=is_full)
            case _:
                return {"a": [1, None, "b"]} if is_full else 1

    def _array(self, schema: dict[str, Any], depth: int, *, is_full: bool) -> list[Any]:
        if "prefixItems" in schema:
            return [self.sample(each, depth + 1, is_full=is_full) for each in schema["prefixItems"]]
        count = max(schema.get("minItems", 0), 1 if is_full else 0)
        return [self.sample(schema.get("items", {}), depth + 1, is_full=is_full) for _ in range(count)]

    def _object(self, schema: dict[str, Any], depth: int, *, is_full: bool) -> dict[str, Any]:
        required = schema.get("required", ())
        values = {
            name: self.sample(part, depth + 1, is_full=is_full)
            for name, part in schema.get("properties", {}).items()
            if is_full or name in required or "const" in part
        }
        extra = schema.get("additionalProperties")
        if is_full and extra and "properties" not in schema:
            values["some key"] = self.sample(
                extra if isinstance(extra, dict) else {}, depth + 1, is_full=True
            )
        elif is_full and extra is True:
            values["some_extra"] = [1, "a"]
        return values
