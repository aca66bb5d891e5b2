"""Payload types whose values become plain data while they are validated, in one step instead of three.

The usual way of a value to its bytes makes an instance anew, dumps it, and looks through the dump for what may not travel. For most
models all of that is known beforehand: each field is of a type whose valid values travel as they are. For such a type pydantic is
given a schema in which each model is a typed dict, under the wire's names, that is filled from the instance's own `__dict__`. What it
gives is what the dump of the validated instance would be.

It takes instances alone, and complete ones. Whatever it refuses goes the usual way, which accepts it or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, cast

from pydantic_core import SchemaValidator, core_schema

from ionbus.wire.pieces import Encoded
from ionbus.wire.values import MAX_DEPTH, MAX_SAFE, encode_plain

__all__ = ["Direct", "direct"]

Schema = Mapping[str, Any]
Encode = Callable[[object], Encoded]

MAX_SCHEMAS: Final = 1_000
"""Parts of a type: where many models refer to many others, those that are written out become ever more."""

_LEAVES: Final = frozenset(
    {"bool", "bytes", "date", "datetime", "float", "none", "str", "time", "timedelta", "uuid"}
)
"""What travels as it is, whatever its bounds are."""
_READ_BY_NAME: Final = frozenset({"validate_by_alias", "validate_by_name", "title"})
"""Settings of a model that do not concern what is in its fields."""


class Direct(NamedTuple):
    """How values of a type become plain data in one step."""

    validate: Callable[[object], object]
    """Gives the plain data that a valid value travels as; ValueError: it is none that this way takes."""
    has_own_keys: bool
    """Whether values have keys that their type does not name: one may be `__proto__`, which may not travel."""

    def encoder(self, usual: Encode) -> Encode:
        """What gives a value's bytes; `usual` does it where this way does not."""
        validate = self.validate

        def encode(value: object) -> Encoded:
            try:
                return encode_plain(validate(value))
            except (ValueError, TypeError, OverflowError):
                return usual(value)

        def encode_with_own_keys(value: object) -> Encoded:
            try:
                encoded = encode_plain(validate(value))
            except (ValueError, TypeError, OverflowError):
                return usual(value)
            return usual(value) if b"__proto__" in encoded else encoded

        return encode_with_own_keys if self.has_own_keys else encode


def direct(schema: Schema) -> Direct | None:
    """The direct way of a type; None for types that need the usual one.

    Args:
        schema: of the payload's type, as `ValueForm` made it.
    """
    if schema["type"] == "bytes":  # they may be many, and the usual way copies them once
        return None
    making = _Direct()
    try:
        made = making.of(schema, MAX_DEPTH)
    except _Unfit:
        return None
    return Direct(SchemaValidator(cast("Any", made)).validate_python, making.has_own_keys)


class _Unfit(Exception):
    """The type needs the usual way."""


class _Direct:
    """Makes the schema; `levels` is how deep what is in it may nest."""

    def __init__(self) -> None:
        self._definitions: dict[str, Schema] = {}
        self._within: list[str] = []
        self._count = 0
        self.has_own_keys = False

    def of(self, schema: Schema, levels: int) -> dict[str, Any]:
        """The schema that gives plain data for this one.

        Raises:
            _Unfit: there is none.
        """
        self._count += 1
        if self._count > MAX_SCHEMAS or levels < 0 or "serialization" in schema:
            raise _Unfit
        match schema["type"]:
            case kind if kind in _LEAVES:
                return _without_ref(schema)
            case "int" if _is_safe(schema):
                return _without_ref(schema)
            case "enum" if all(_travels(member.value) for member in schema["members"]):
                return _without_ref(schema)
            case "literal" if all(map(_travels, schema["expected"])):
                return _without_ref(schema)
            case "union" if all(_is_simple(choice) for choice in schema["choices"]):
                return _without_ref(schema)
            case "nullable":
                return {**_without_ref(schema), "schema": self.of(schema["schema"], levels)}
            case "list" if "items_schema" in schema:
                return {**_without_ref(schema), "items_schema": self.of(schema["items_schema"], levels - 1)}
            case "dict" if schema["keys_schema"]["type"] == "str" and "values_schema" in schema:
                self.has_own_keys = True
                values = self.of(schema["values_schema"], levels - 1)
                return {**_without_ref(schema), "values_schema": values}
            case "tagged-union":
                choices = {tag: self.of(choice, levels) for tag, choice in schema["choices"].items()}
                return {**_without_ref(schema), "choices": choices}
            case "definitions":
                self._definitions.update({each["ref"]: each for each in schema["definitions"]})
                return self.of(schema["schema"], levels)
            case "definition-ref":
                return self._referred(schema["schema_ref"], levels)
            case "model":
                return self._model(schema, levels)
            case _:
                raise _Unfit

    def _referred(self, name: str, levels: int) -> dict[str, Any]:
        if (
            name in self._within or name not in self._definitions
        ):  # a model that holds itself nests without end
            raise _Unfit
        self._within.append(name)
        found = self.of(self._definitions[name], levels)
        self._within.pop()
        return found

    def _model(self, schema: Schema, levels: int) -> dict[str, Any]:
        """A typed dict that is filled from an instance."""
        inner = schema["schema"]
        if (
            inner["type"] != "model-fields"
            or schema.get("custom_init")
            or schema.get("root_model")
            or schema.get("post_init")
            or inner.get("computed_fields")
            or inner.get("extras_schema")
            or inner.get("extras_keys_schema")
        ):
            raise _Unfit
        config = {key: value for key, value in schema.get("config", {}).items() if key not in _READ_BY_NAME}
        extra: Literal["allow", "forbid", "ignore"] = (
            inner.get("extra_behavior") or config.get("extra_fields_behavior") or "ignore"
        )
        if extra == "allow":
            raise _Unfit
        fields = {
            field.get("serialization_alias", name): self._field(name, field, levels - 1)
            for name, field in inner["fields"].items()
        }
        if (
            len(fields) != len(inner["fields"]) or "__proto__" in fields
        ):  # two are written under one name: the usual way says so
            raise _Unfit
        filled = core_schema.typed_dict_schema(fields, extra_behavior=extra, config=cast("Any", config))
        return {**core_schema.no_info_before_validator_function(_fields_of(schema["cls"]), filled)}

    def _field(self, name: str, field: Schema, levels: int) -> core_schema.TypedDictField:
        if "serialization_exclude" in field or "serialization_exclude_if" in field:
            raise _Unfit
        inner = field["schema"]
        if inner["type"] == "default":  # an instance has a value
            if inner.get("on_error", "raise") != "raise" or "serialization" in inner:
                raise _Unfit
            inner = inner["schema"]
        schema = cast("core_schema.CoreSchema", self.of(inner, levels))
        return core_schema.typed_dict_field(schema, required=True, validation_alias=name)


def _fields_of(cls: type) -> Callable[[Any], object]:
    def fields(value: Any) -> object:
        if type(value) is cls:
            return value.__dict__
        raise ValueError("not an instance")

    return fields


def _without_ref(schema: Schema) -> dict[str, Any]:
    """What is referred to is written out each time."""
    return {key: value for key, value in schema.items() if key != "ref"}


def _is_simple(choice: Any) -> bool:
    """Whether an option of a union is one that stays what it is, so that no other is chosen than in the usual way."""
    option = choice[0] if isinstance(choice, tuple) else choice
    return option["type"] in _LEAVES and "serialization" not in option


def _is_safe(schema: Schema) -> bool:
    """Whether every valid integer is one that JavaScript's numbers hold."""
    least = schema.get("gt", schema.get("ge"))
    most = schema.get("lt", schema.get("le"))
    return least is not None and most is not None and least >= -MAX_SAFE and most <= MAX_SAFE


def _travels(value: object) -> bool:
    """Whether a member of an enum, or of a literal, is plain data."""
    if isinstance(value, Enum):
        return _travels(value.value)
    return type(value) in {str, bool, type(None)} or (type(value) is int and -MAX_SAFE <= value <= MAX_SAFE)
