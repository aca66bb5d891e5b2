"""JSON Schemas of a contract's payloads, in both directions, with marks for what JSON has no type for.

A schema with `"x-ionbus": "bytes"` (or "datetime", "date", "time", "duration", "decimal", "uuid", "set", "int64",
"map", "int8array", …) describes a value that travels as itself (docs/protocol.md, section 10); of a "map",
`"x-ionbus-keys"` describes the keys. `"x-ionbus-refused"` says why no other language can be given a type for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from ionbus.contract.wire_form import is_int64, is_pydantics, keys_are_text

if TYPE_CHECKING:
    from ionbus.contract.contract import ContractInfo
    from ionbus.contract.payload import Payload

__all__ = [
    "KEYS",
    "MARK",
    "REFUSED",
    "ContractSchema",
    "Direction",
    "JsonSchema",
    "WireJsonSchema",
    "contract_schema",
    "payload_schema",
]

MARK = "x-ionbus"
KEYS = "x-ionbus-keys"
REFUSED = "x-ionbus-refused"

Direction: TypeAlias = Literal["validation", "serialization"]
"""What a client sends is what Python validates; what a client receives is what Python serialises."""
JsonSchema: TypeAlias = dict[str, Any]

_DIRECTIONS: tuple[Direction, ...] = ("validation", "serialization")


# What a core schema is described as, whatever it says besides.
_FIXED: Mapping[str, JsonSchema] = {
    "datetime": {"type": "string", "format": "date-time", MARK: "datetime"},
    "date": {"type": "string", "format": "date", MARK: "date"},
    "time": {"type": "string", "format": "time", MARK: "time"},
    "timedelta": {"type": "string", "format": "duration", MARK: "duration"},
    "decimal": {"type": "string", "format": "decimal", MARK: "decimal"},
    "uuid": {"type": "string", "format": "uuid", MARK: "uuid"},
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

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        lengths = {"minLength": schema.get("min_length"), "maxLength": schema.get("max_length")}
        asked = {key: length for key, length in lengths.items() if length is not None}
        return {"type": "string", "format": "binary", MARK: "bytes", **asked}

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        return {**super().str_schema(schema), MARK: "str"}

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        return {**super().set_schema(schema), MARK: "set"}

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        return {**super().frozenset_schema(schema), MARK: "set"}

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        described = super().int_schema(schema)
        return {**described, MARK: "int64"} if is_int64(schema) else described

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        return self._with_keys(schema, super().dict_schema(schema))

    def ordered_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_keys(schema, super().ordered_dict_schema(schema))

    def frozendict_schema(self, schema: Any) -> JsonSchemaValue:
        return self._with_keys(schema, super().frozendict_schema(schema))

    def counter_schema(self, schema: Any) -> JsonSchemaValue:
        counted = {**schema, "values_schema": core_schema.int_schema()}
        return self._with_keys(counted, super().counter_schema(schema))

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        return {REFUSED: "a generator, which can be read once; use list, or a Stream"}

    def _with_keys(self, schema: Any, described: JsonSchemaValue) -> JsonSchemaValue:
        keys = schema.get("keys_schema")
        if keys is None or self._is_text(keys):
            return described
        names = {"propertyNames", "patternProperties"}
        plain = {key: part for key, part in described.items() if key not in names}
        values = self.generate_inner(schema["values_schema"]) if "values_schema" in schema else {}
        return {**plain, "additionalProperties": values, MARK: "map", KEYS: self.generate_inner(keys)}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _with_extras(schema, super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _with_extras(schema, super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _with_extras(schema, super().typed_dict_schema(schema))

    def json_or_python_schema(self, schema: core_schema.JsonOrPythonSchema) -> JsonSchemaValue:
        is_any = schema["json_schema"]["type"] == "any"  # as of pydantic's JsonValue
        return self.generate_inner(schema["python_schema" if is_any else "json_schema"])

    def ser_schema(
        self, schema: core_schema.SerSchema | core_schema.IncExSeqSerSchema | core_schema.IncExDictSerSchema
    ) -> JsonSchemaValue | None:
        if _is_unannotated(schema) and not (
            _is_object(self._described[-1]) and schema["type"] == "function-wrap"
        ):
            name = getattr(cast("Any", schema)["function"], "__name__", "")
            return {REFUSED: f"its serializer {name} does not say what it returns; annotate its return type"}
        return super().ser_schema(schema)

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {REFUSED: f"a type that no schema describes ({error_info}); use a model or a plain type"}

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            if self._may_omit():
                return field["schema"]["type"] != "default" and not field.get("serialization_exclude")
            return not field.get("serialization_exclude") and "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def _may_omit(self) -> bool:
        """Whether the innermost model being described has a serializer of its own that may leave out defaults."""
        for schema in reversed(self._described):
            if _is_object(schema):
                serialization = schema.get("serialization")
                return serialization is not None and _is_unannotated(serialization)
        return False

    def _is_text(self, schema: Any) -> bool:
        return keys_are_text(schema, self._core_definitions.get)

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        # Keys are looked at through references, which pydantic resolves for JSON Schemas only.
        if schema["type"] == "definitions":
            self._core_definitions.update({each["ref"]: each for each in schema["definitions"]})
        self._described.append(schema)
        try:
            return super().generate_inner(schema)
        finally:
            self._described.pop()

    @cached_property
    def _described(self) -> list[Any]:
        """The core schemas that are being described, each inside the one before it."""
        return []

    @cached_property
    def _core_definitions(self) -> dict[str, Any]:
        return {}


def _with_extras(schema: Any, described: JsonSchemaValue) -> JsonSchemaValue:
    """Say what the contract says of fields that a model does not have; pydantic looks at the model's own settings alone."""
    extra = (schema.get("config") or {}).get("extra_fields_behavior")
    if extra not in {"forbid", "allow"} or "additionalProperties" in described or "$ref" in described:
        return described
    return {**described, "additionalProperties": extra == "allow"}


def _is_object(schema: Any) -> bool:
    return schema["type"] in {"model", "dataclass"}


def _is_unannotated(serialization: Any) -> bool:
    """Whether a serializer is a user's function that does not say what it returns."""
    function = serialization.get("function")
    return function is not None and serialization.get("return_schema") is None and not is_pydantics(function)


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


def payload_schema(payload: Payload[Any]) -> tuple[JsonSchema, Mapping[str, JsonSchema]]:
    """Describe one payload as it is serialised, and what `#/$defs/…` in that names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as below
        schemas, definitions = WireJsonSchema(by_alias=True).generate_definitions(
            [(0, "serialization", cast("Any", payload.core_schema))]
        )
    return schemas[0, "serialization"], {str(name): schema for name, schema in definitions.items()}


def contract_schema(contract: ContractInfo) -> ContractSchema:
    """Describe every payload of a contract, both as it is validated and as it is serialised."""
    forms: dict[Hashable, Payload[Any]] = {}  # each type once, however many members have it
    for member in contract.members.values():
        for payload in member.payloads.values():
            forms.setdefault(id(payload.form), payload)
    for code, error in contract.errors.items():
        forms[code] = error.__payload__
    cores: dict[Hashable, Any] = {key: payload.core_schema for key, payload in forms.items()}
    inputs: list[tuple[Hashable, JsonSchemaMode, Any]] = [
        (key, direction, core) for direction in _DIRECTIONS for key, core in cores.items()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defaults that JSON cannot write; they are prose here
        schemas, definitions = WireJsonSchema(by_alias=True).generate_definitions(cast("Any", inputs))
    payloads: dict[tuple[str, str, Direction], JsonSchema] = {
        (name, part, direction): schemas[id(payload.form), direction]
        for direction in _DIRECTIONS
        for name, member in contract.members.items()
        for part, payload in member.payloads.items()
    }
    errors: dict[tuple[str, Direction], JsonSchema] = {
        (code, direction): schemas[code, direction] for direction in _DIRECTIONS for code in contract.errors
    }
    return ContractSchema(payloads, errors, {str(name): schema for name, schema in definitions.items()})
