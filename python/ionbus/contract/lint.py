"""What in a contract will hurt later: found in its canonical description (docs/evolution.md)."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel

from ionbus.contract.evolution.schemas import kind_of
from ionbus.contract.names import camel_case

__all__ = ["Finding", "Pain", "lint"]

Json: TypeAlias = Mapping[str, Any]


class Pain(StrEnum):
    """What findings are about; docs/evolution.md has a row for each, in this order."""

    UNBOUNDED_STRING = "unbounded-string"
    UNBOUNDED_LIST = "unbounded-list"
    UNTYPED = "untyped"
    CLOSED_ENUM = "closed-enum"
    FORBIDS_EXTRAS = "forbids-extras"
    BARE_PAYLOAD = "bare-payload"
    NAME_COLLISION = "name-collision"
    RESERVED_NAME = "reserved-name"
    TANGLED_UNION = "tangled-union"


REMEDIES: Mapping[Pain, str] = {
    Pain.UNBOUNDED_STRING: "bound it: Annotated[str, Field(max_length=…)]",
    Pain.UNBOUNDED_LIST: "bound it: Annotated[…, Field(max_length=…)]",
    Pain.UNTYPED: "name the type",
    Pain.CLOSED_ENUM: "add a case for what is unknown where more values may come: Literal[…] | str",
    Pain.FORBIDS_EXTRAS: 'leave extra="forbid" out of the model',
    Pain.BARE_PAYLOAD: "make it a model with one field",
    Pain.NAME_COLLISION: "rename one of them",
    Pain.RESERVED_NAME: "rename the field, or give it an alias",
    Pain.TANGLED_UNION: 'tell the options apart: Annotated[A | B, Field(discriminator="kind")]',
}


@dataclass(frozen=True)
class Finding:
    """One thing that will hurt.

    Args:
        pain: what it is about.
        place: contract, member and field: "conductor.execute request.flow.nodes[].id".
        problem: what is wrong there, in words.
    """

    pain: Pain
    place: str
    problem: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.pain]

    def __str__(self) -> str:
        return f"{self.place}: {self.pain}: {self.problem}; {self.remedy}"


def lint(description: Json) -> list[Finding]:
    """Find what will hurt later in a contract, each once, in the order of members and fields.

    Args:
        description: canonical, as `ionbus schema dump` writes it.
    """
    return list(dict.fromkeys(_Linter(description).findings()))


class _Linter:
    def __init__(self, description: Json) -> None:
        self._description = description
        self._seen: set[tuple[str, bool]] = set()

    def findings(self) -> Iterator[Finding]:
        for name, member in sorted(self._description["members"].items()):
            where = f"{self._description['name']}.{name}"
            if member["kind"] == "event":
                if member["source"] != "broker":
                    yield from self._payload(f"{where} payload", member["payload"], is_sent=True)
                yield from self._payload(f"{where} payload", member["payload"], is_sent=False)
                continue
            is_ours = member["served_by"] == "broker"
            answer = "response" if member["kind"] == "call" else "item"
            yield from self._payload(f"{where} request", member["request"], is_sent=is_ours)
            yield from self._payload(f"{where} {answer}", member[answer], is_sent=not is_ours)

    def _payload(self, place: str, forms: Json, *, is_sent: bool) -> Iterator[Finding]:
        schema = forms["sent" if is_sent else "received"]
        kinds = {kind_of(option) for option in self._options(schema)}
        bare = kinds - {"object", "null", "bytes", "anything"}
        if bare:
            yield Finding(Pain.BARE_PAYLOAD, place, f"a bare {' or '.join(sorted(bare))} cannot get a field")
        yield from self._look(schema, place, is_sent=is_sent)

    def _options(self, schema: Any) -> Iterator[Json]:
        """The schemas that a union, or a reference, is made of."""
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if reference is not None:
            yield from self._options(self._definition(reference))
            return
        options = schema.get("anyOf") or schema.get("oneOf") if isinstance(schema, dict) else None
        if options is None:
            yield schema if isinstance(schema, dict) else {}
            return
        for option in options:
            if "$ref" not in option or option["$ref"] != reference:
                yield from self._options(option)

    def _definition(self, reference: str) -> Any:
        return self._description["$defs"][reference.removeprefix("#/$defs/")]

    def _look(self, schema: Any, place: str, *, is_sent: bool) -> Iterator[Finding]:
        if not isinstance(schema, dict):
            yield Finding(Pain.UNTYPED, place, "any value is taken")
            return
        if "$ref" in schema:
            known = (schema["$ref"], is_sent)
            if known not in self._seen:
                self._seen.add(known)
                yield from self._look(self._definition(schema["$ref"]), place, is_sent=is_sent)
            return
        options = schema.get("anyOf") or schema.get("oneOf")
        if options is not None:
            if is_sent and self._is_tangled(schema):
                problem = (
                    "each level of nesting is tried with each option: a payload of 200 bytes can take minutes"
                )
                yield Finding(Pain.TANGLED_UNION, place, problem)
            is_open = any(kind_of(option) == "str" and "enum" not in option for option in options)
            for option in options:
                if not (is_open and "enum" in option):
                    yield from self._look(option, place, is_sent=is_sent)
            return
        if "enum" in schema:
            if not is_sent and len(schema["enum"]) > 1:
                yield Finding(Pain.CLOSED_ENUM, place, "old clients know no other value than these")
            return
        if "const" not in schema:
            yield from self._one(schema, place, is_sent=is_sent)

    def _is_tangled(self, union: Json) -> bool:
        """Whether two options of a union lead back to it, and nothing tells at once which of them a value is."""
        if "discriminator" in union:
            return False
        named = {option["$ref"] for option in union.get("anyOf", ()) if "$ref" in option}
        return sum(named <= self._reached(reference) for reference in named) > 1

    def _reached(self, reference: str) -> set[str]:
        """The definitions that a definition leads to."""
        reached: set[str] = set()
        parts: list[Any] = [self._definition(reference)]
        while parts:
            part = parts.pop()
            if isinstance(part, dict):
                target = part.get("$ref")
                if isinstance(target, str) and target not in reached:
                    reached.add(target)
                    parts.append(self._definition(target))
                parts += part.values()
            elif isinstance(part, list):
                parts += part
        return reached

    def _one(self, schema: Json, place: str, *, is_sent: bool) -> Iterator[Finding]:
        kind = kind_of(schema)
        if kind == "anything":
            yield Finding(Pain.UNTYPED, place, "any value is taken")
        elif kind == "str":
            if is_sent and not {"maxLength", "pattern", "format"} & set(schema):
                yield Finding(Pain.UNBOUNDED_STRING, place, "clients may send a text of any length")
        elif kind in {"array", "set", "mapping", "map"}:
            most = "maxProperties" if kind in {"mapping", "map"} else "maxItems"
            if is_sent and most not in schema:
                noun = "list" if kind == "array" else "mapping" if kind == "map" else kind
                yield Finding(Pain.UNBOUNDED_LIST, place, f"clients may send a {noun} of any length")
            inner = schema.get("additionalProperties" if kind in {"mapping", "map"} else "items", True)
            below = f"{place}{{}}" if kind in {"mapping", "map"} else f"{place}[]"
            yield from self._look(inner, below, is_sent=is_sent)
        elif kind == "tuple":
            for index, item in enumerate(schema["prefixItems"]):
                yield from self._look(item, f"{place}[{index}]", is_sent=is_sent)
        elif kind == "object":
            yield from self._object(schema, place, is_sent=is_sent)

    def _object(self, schema: Json, place: str, *, is_sent: bool) -> Iterator[Finding]:
        if schema.get("additionalProperties") is False:
            yield Finding(Pain.FORBIDS_EXTRAS, place, "no field can be added without breaking the other side")
        spelled: dict[str, str] = {}
        for name, field in schema.get("properties", {}).items():
            below = f"{place}.{name}"
            other = spelled.setdefault(camel_case(name.lower() if name.isupper() else name), name)
            if other != name:
                yield Finding(
                    Pain.NAME_COLLISION, below, f"{name} and {other} are one name in other languages"
                )
            if keyword.iskeyword(name) or name == "__proto__":
                yield Finding(Pain.RESERVED_NAME, below, f"{name} cannot be a field's name in both languages")
            elif hasattr(BaseModel, name):
                yield Finding(Pain.RESERVED_NAME, below, f"{name} hides what each model has under this name")
            yield from self._look(field, below, is_sent=is_sent)
