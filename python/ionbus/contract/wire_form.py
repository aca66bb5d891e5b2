"""Pydantic core schemas as payloads use them: what validates what travels, and what makes of a value what travels.

What pydantic writes as text in JSON and the wire has no type for (paths, URLs, IP addresses) travels as text; a mapping
whose keys are not text travels as one even where it is empty; integers are checked to be such that neither side has lost
digits of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, cast

from pydantic_core import PydanticCustomError, core_schema

from ionbus.contract.collisions import guarded
from ionbus.wire.values import MAX_SAFE, KeyedMapping

__all__ = ["Copier", "ValueForm", "is_int64", "is_pydantics", "keys_are_text", "wire_schema"]

INT64: Final = "ionbus_int64"
"""In the metadata of an integer's core schema: it is declared as one of 64 bits."""

_TEXT_IN_JSON = frozenset({"ser_ip", "ser_path", "serialize_url"})
"""Pydantic's serializers of objects that are text in JSON and stay objects in Python."""
_NOT_SCHEMAS = frozenset(
    {"cls", "config", "default", "default_factory", "expected", "members", "metadata", "serialization"}
)
_NAMED_SCHEMAS = frozenset({"fields", "choices"})
_MAPPINGS = frozenset({"counter", "dict", "frozendict", "ordered-dict"})
_SETS = frozenset({"set", "frozenset"})
_CONTAINERS = (dict, list, tuple)
_MODELS = frozenset({"model", "dataclass"})
_PLAIN_ON_THE_WIRE = frozenset({"enum", "frozenset", "tuple"})
_FIELDS = frozenset({"model-field", "dataclass-field", "typed-dict-field"})


def wire_schema(schema: object) -> object:
    """Give a copy of a pydantic core schema as payloads are described by it.

    Instances of models are validated anew, and each field is read under the name that it is written under.
    """
    return Copier().copy(schema)


class ValueForm:
    """The core schema that values of a payload are validated and serialised by.

    Args:
        schema: of the payload's type, as pydantic made it.
    """

    schema: object
    has_own_serializers: bool
    """Whether what travels differs from what pydantic's own serializer gives."""
    has_wide_integers: bool
    """Whether an integer in it is declared as one of 64 bits."""

    def __init__(self, schema: object) -> None:
        copier = _ValueCopier(schema)
        copied = copier.copy(schema)
        self.has_wide_integers = copier.has_wide_integers
        self.schema = _SafeIntegers(even_in_unions=self.has_wide_integers).copy(copied)
        self.has_own_serializers = copier.has_own_serializers


class Copier:
    """Copies a core schema, with some parts changed."""

    def copy(self, schema: object) -> object:
        if isinstance(schema, dict):
            copied = {}
            for key, value in schema.items():
                if key in _NOT_SCHEMAS or not isinstance(value, _CONTAINERS):
                    copied[key] = value
                elif key in _NAMED_SCHEMAS and isinstance(value, dict):  # its keys are names of the user's
                    copied[key] = {name: self.copy(part) for name, part in value.items()}
                else:
                    copied[key] = self.copy(value)
            return self.changed(copied)
        if isinstance(schema, list):
            return [self.copy(part) for part in schema]
        if isinstance(schema, tuple):
            return tuple(self.copy(part) for part in schema)
        return schema

    def changed(self, copy: dict[str, Any]) -> dict[str, Any]:
        """Change one schema, whose parts are changed already."""
        kind = copy.get("type")
        if kind in _MODELS and "cls" in copy:
            copy["revalidate_instances"] = "always"
        elif kind in _PLAIN_ON_THE_WIRE:
            copy["strict"] = False  # where a model is strict, what it wants does not travel as itself
        elif kind in _FIELDS:
            copy.pop("validation_alias", None)
            if alias := copy.get("serialization_alias"):
                copy["validation_alias"] = alias
        return copy


class _ValueCopier(Copier):
    def __init__(self, root: object) -> None:
        self.has_own_serializers = False
        self.has_wide_integers = False
        self._definitions = _definitions(root)

    def changed(self, copy: dict[str, Any]) -> dict[str, Any]:
        copy = super().changed(copy)
        kind = copy.get("type")
        if "serialization" in copy:
            as_text = _as_in_json(copy["serialization"])
            if as_text is not None:
                copy["serialization"] = as_text
                self.has_own_serializers = True
        elif kind in {"url", "multi-host-url"}:
            copy["serialization"] = {"type": "to-string", "when_used": "always"}
            self.has_own_serializers = True
        elif kind in _MAPPINGS:
            self._change_mapping(copy)
            return guarded(copy, copy["keys_schema"], self._definitions.get)
        elif kind in _SETS and "items_schema" in copy:
            return guarded(copy, copy["items_schema"], self._definitions.get)
        elif kind == "int" and is_int64(copy):
            self.has_wide_integers = True
        elif kind == "tagged-union":
            choices = copy["choices"]
            by_value = {tag.value: choice for tag, choice in choices.items() if isinstance(tag, Enum)}
            copy["choices"] = {**by_value, **choices}
        elif kind == "literal" and any(isinstance(each, Enum) for each in copy["expected"]):
            members = {each.value: each for each in copy["expected"] if isinstance(each, Enum)}
            return {**core_schema.no_info_before_validator_function(_member_of(members), cast("Any", copy))}
        return copy

    def _change_mapping(self, copy: dict[str, Any]) -> None:
        keys = copy.get("keys_schema")
        if keys is None or keys["type"] == "any":
            copy["keys_schema"] = {"type": "str"}
        elif not keys_are_text(keys, self._definitions.get):
            copy["serialization"] = core_schema.wrap_serializer_function_ser_schema(_keyed)
            self.has_own_serializers = True


class _SafeIntegers(Copier):
    """Refuses integers that have more than JavaScript's numbers hold, unless they are declared to have 64 bits and came as such.

    Args:
        even_in_unions: also those that are one option of several. Without 64-bit integers they are left alone: another
            option, as `float`, would take what this one refuses, and `Payload.encode` looks at what is sent.
    """

    def __init__(self, *, even_in_unions: bool) -> None:
        self._even_in_unions = even_in_unions

    def copy(self, schema: object) -> object:
        if isinstance(schema, dict) and schema.get("type") == "union" and not self._even_in_unions:
            choices = [
                each if _option(each).get("type") == "int" else self.copy(each) for each in schema["choices"]
            ]
            return {**schema, "choices": choices}
        return super().copy(schema)

    def changed(self, copy: dict[str, Any]) -> dict[str, Any]:
        if copy.get("type") != "int":
            return copy
        if is_int64(copy):
            return {**core_schema.no_info_before_validator_function(_exact, cast("Any", copy))}
        if "gt" not in copy:
            copy["ge"] = max(copy.get("ge", -MAX_SAFE), -MAX_SAFE)
        if "lt" not in copy:
            copy["le"] = min(copy.get("le", MAX_SAFE), MAX_SAFE)
        return copy


def _option(choice: Any) -> dict[str, Any]:
    """The schema of one of a union's choices, which may have a label beside it."""
    option: dict[str, Any] = choice[0] if isinstance(choice, tuple) else choice
    return option


def _exact(value: object) -> object:
    """Refuse a number of JavaScript that may have been another one before it was rounded."""
    if isinstance(value, float) and not -MAX_SAFE <= value <= MAX_SAFE:
        raise PydanticCustomError("rounded", "a number beyond ±(2^53 - 1) has lost digits; send a bigint")
    return value


def is_int64(schema: Mapping[str, Any]) -> bool:
    """Whether an integer's core schema is declared as one of 64 bits (`ionbus.Int64`)."""
    return bool((schema.get("metadata") or {}).get(INT64))


def is_pydantics(function: object) -> bool:
    """Whether a validator or serializer is pydantic's own, not a user's."""
    return (getattr(function, "__module__", None) or "").partition(".")[0] in {
        "pydantic",
        "pydantic_core",
    } or (function is _keyed)


def keys_are_text(schema: Mapping[str, Any], find: Callable[[str], Any]) -> bool:
    """Whether every key of a mapping travels as text.

    Args:
        schema: of its keys.
        find: gives the core schema that a reference names.
    """
    match schema["type"]:
        case "str" | "url" | "multi-host-url" | "any":
            return True
        case "literal":
            return all(isinstance(value, str) for value in schema["expected"])
        case "enum":
            return all(isinstance(member.value, str) for member in schema["members"])
        case "union":
            choices = [each[0] if isinstance(each, tuple) else each for each in schema["choices"]]
            return all(keys_are_text(each, find) for each in choices)
        case "definition-ref":
            found = find(schema["schema_ref"])
            return found is not None and keys_are_text(found, find)
        case "definitions":
            local = {each["ref"]: each for each in schema["definitions"]}
            return keys_are_text(schema["schema"], lambda ref: local.get(ref) or find(ref))
        case _:
            serialization = schema.get("serialization")
            if serialization is not None and _gives_text(serialization):
                return True
            inner = schema.get("schema")
            return inner is not None and keys_are_text(inner, find)


def _gives_text(serialization: Mapping[str, Any]) -> bool:
    changed = _as_in_json(serialization) or serialization
    return (
        changed["type"] in {"to-string", "format"}
        or (changed.get("return_schema") or {}).get("type") == "str"
    )


def _as_in_json(serialization: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give a serializer that does always what this one does in JSON; None where that is the same."""
    kind = serialization["type"]
    if (
        kind == "function-plain"
        and serialization.get("return_schema") is None
        and serialization.get("info_arg")
    ):
        function = serialization["function"]
        if is_pydantics(function) and getattr(function, "__name__", "") in _TEXT_IN_JSON:
            return {"type": "to-string", "when_used": "unless-none"}
        return None
    usual = "json-unless-none" if kind in {"to-string", "format"} else "always"
    when = serialization.get("when_used", usual)
    always = {"json": "always", "json-unless-none": "unless-none"}.get(when)
    return None if always is None else {**serialization, "when_used": always}


def _definitions(root: object) -> dict[str, Any]:
    """The schemas that others in a core schema refer to."""
    if isinstance(root, dict) and root.get("type") == "definitions":
        return {each["ref"]: each for each in root["definitions"]}
    return {}


def _member_of(members: Mapping[object, Enum]) -> Callable[[object], object]:
    """Give what turns the value of an enum's member into the member, since a literal takes nothing else."""

    def member(value: object) -> object:
        return members.get(value, value) if isinstance(value, (str, int, float)) else value

    return member


def _keyed(value: object, handler: Callable[[object], object]) -> object:
    written = handler(value)
    return KeyedMapping(written) if isinstance(written, dict) else written
