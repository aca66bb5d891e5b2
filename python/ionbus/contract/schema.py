"""JSON Schemas of a contract's payloads, in both directions, with marks for what JSON has no type for.

A schema with `"x-ionbus": "bytes"` (or "datetime", "date", "time", "duration", "decimal", "uuid", "set") describes
a value that travels as itself (docs/protocol.md, section 10). `"x-ionbus-refused"` says why no other language can be
given a type for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

if TYPE_CHECKING:
    from ionbus.contract.contract import ContractInfo

__all__ = [
    "MARK",
    "REFUSED",
    "ContractSchema",
    "Direction",
    "JsonSchema",
    "WireJsonSchema",
    "contract_schema",
]

MARK = "x-ionbus"
REFUSED = "x-ionbus-refused"

Direction: TypeAlias = Literal["validation", "serialization"]
"""What a client sends is what Python validates; what a client receives is what Python serialises."""
JsonSchema: TypeAlias = dict[str, Any]

_DIRECTIONS: tuple[Direction, ...] = ("validation", "serialization")


# What a core schema is described as, whatever it says besides.
_FIXED: Mapping[str, JsonSchema] = {
    "bytes": {"type": "string", "format": "binary", MARK: "bytes"},
    "datetime": {"type": "string", "format": "date-time", MARK: "datetime"},
    "date": {"type": "string", "format": "date", MARK: "date"},
    "time": {"type": "string", "format": "time", MARK: "time"},
    "timedelta": {"type": "string", "format": "duration", MARK: "duration"},
    "decimal": {"type": "string", "format": "decimal", MARK: "decimal"},
    "uuid": {"type": "string", "format": "uuid", MARK: "uuid"},
    "any": {REFUSED: "a value of any type; name the type"},
    "url": {REFUSED: "a URL object; use str"},
    "multi-host-url": {REFUSED: "a URL object; use str"},
    "complex": {REFUSED: "a complex number; use a model with two floats"},
    "json": {REFUSED: "JSON text that is parsed on validation; use the type of what is in it"},
}


class WireJsonSchema(GenerateJsonSchema):
    """Pydantic's generator, with the wire's own types marked, and what is always sent required."""

    ignored_warning_kinds = frozenset({"non-serializable-default", "skipped-choice"})  # type: ignore[assignment]

    def build_schema_type_to_method(self) -> dict[Any, Callable[[Any], JsonSchemaValue]]:
        methods: dict[Any, Callable[[Any], JsonSchemaValue]] = {**super().build_schema_type_to_method()}
        for kind, described in _FIXED.items():
            methods[kind] = partial(_fixed, described)
        return methods

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        return {**super().str_schema(schema), MARK: "str"}

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        return {**super().set_schema(schema), MARK: "set"}

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        return {**super().frozenset_schema(schema), MARK: "set"}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        described = super().dict_schema(schema)
        keys = schema.get("keys_schema")
        if keys is not None and not self._is_text(keys):
            described[REFUSED] = "a mapping whose keys are not text; name its types: dict[str, …]"
        return described

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {REFUSED: f"a type that no schema describes ({error_info}); use a model or a plain type"}

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return not field.get("serialization_exclude") and "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def _is_text(self, schema: Any) -> bool:
        described = self.generate_inner(schema)
        while "$ref" in described:
            found = self.get_schema_from_definitions(described["$ref"])
            if found is None:
                return False
            described = found
        options = described.get("enum", [described["const"]] if "const" in described else None)
        if options is not None:
            return all(isinstance(option, str) for option in options)
        return described.get(MARK) == "str"


def _fixed(described: JsonSchema, _schema: object) -> JsonSchemaValue:
    return dict(described)


@dataclass(frozen=True)
class ContractSchema:
    """The schemas of all payloads and errors of a contract, with shared definitions.

    Args:
        payloads: by (member, part, direction), e.g. ("execute", "request", "validation").
        errors: the schema of a declared error's fields by (code, direction).
        definitions: what `#/$defs/…` names.
    """

    payloads: Mapping[tuple[str, str, Direction], JsonSchema]
    errors: Mapping[tuple[str, Direction], JsonSchema]
    definitions: Mapping[str, JsonSchema]


def contract_schema(contract: ContractInfo) -> ContractSchema:
    """Describe every payload of a contract, both as it is validated and as it is serialised."""
    inputs: list[tuple[Any, JsonSchemaMode, Any]] = []
    for direction in _DIRECTIONS:
        for name, member in contract.members.items():
            for part, payload in member.payloads.items():
                inputs.append(((name, part), direction, payload.core_schema))
        for code, error in contract.errors.items():
            inputs.append((code, direction, error.__payload__.core_schema))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defaults that JSON cannot write; they are prose here
        schemas, definitions = WireJsonSchema(by_alias=True).generate_definitions(inputs)
    payloads: dict[tuple[str, str, Direction], JsonSchema] = {}
    errors: dict[tuple[str, Direction], JsonSchema] = {}
    for (key, direction), schema in schemas.items():
        if isinstance(key, tuple):
            payloads[*key, direction] = schema
        else:
            errors[key, direction] = schema
    return ContractSchema(payloads, errors, {str(name): schema for name, schema in definitions.items()})
